/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of a coder have in common, beside coder.h; coder.c has the picture. */
#ifndef PMT_CODER_PARTS_H
#define PMT_CODER_PARTS_H

#include "coder.h"

static inline struct pmt_cell *cell_at(const struct pmt_coder *c, unsigned int i)
{
	return &c->cells[(c->head + i) % c->n_cells];
}

enum class { CLASS_OTHER, CLASS_WRITE, CLASS_READ };

static inline enum class class_of(const struct pmt_command *cmd)
{
	if (cmd->op == PMT_OP_READ && cmd->length)
		return CLASS_READ;
	if ((cmd->op == PMT_OP_WRITE && cmd->length) ||
	    (cmd->op == PMT_OP_WRITE_FILEMARKS && cmd->count > 0))
		return CLASS_WRITE;
	return CLASS_OTHER;
}

static inline bool has_records(const struct pmt_command *cmd)
{
	return (cmd->op == PMT_OP_READ || cmd->op == PMT_OP_WRITE) && cmd->length;
}

static inline bool place_known(const struct pmt_place *place)
{
	return place->lbn != PMT_UNKNOWN ||
	       (place->file != PMT_UNKNOWN && place->block != PMT_UNKNOWN);
}

static inline bool is_alone(const struct pmt_command *cmd)
{
	return class_of(cmd) == CLASS_OTHER || (cmd->flags & PMT_CMD_HERE) ||
	       !place_known(&cmd->place);
}

static inline bool changes(const struct pmt_command *cmd)
{
	return class_of(cmd) == CLASS_WRITE || cmd->op == PMT_OP_ERASE ||
	       cmd->op == PMT_OP_CUT;
}

/* coder.c: begin what can begin, publish what is done.  Lock held. */
void pmt_coder_advance(struct pmt_coder *);

/* coder_cells.c: a cell's memory, and its way through the pool and the child.  Lock held,
 * but for memory of one's own. */
void pmt_cell_forget_room(struct pmt_cell *);
int pmt_cell_make_room(struct pmt_cell *, size_t size);
void pmt_cell_take_spare(struct pmt_coder *, struct pmt_cell *, unsigned int thread);
void pmt_cell_give_back(struct pmt_coder *, struct pmt_cell *);
void pmt_cell_have_coded(struct pmt_coder *, struct pmt_cell *);
void pmt_cell_send(struct pmt_coder *, struct pmt_cell *);
/* Of an answer to TEST or LOAD. */
void pmt_coder_note_medium(struct pmt_coder *, const struct pmt_request *);

/* coder_results.c: what cells say, as the answer to a command.  Lock held. */
void pmt_coder_note_failure(struct pmt_coder *, const struct pmt_cell *);
/* The first cell, which is done; the lock is given up while its command is told. */
void pmt_coder_retire(struct pmt_coder *);

#endif
