// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt set: change what can be changed while a unit is in use
 */
#include "pmt-tool.h"

int verb_set(struct tool *t)
{
	int err = pmt_unit_set(t->control, &t->config);

	return err < 0 ? tool_fail(t, t->unit, err) : TOOL_OK;
}
