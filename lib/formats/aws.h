/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What aws.c needs of het.c. */
#ifndef PMT_AWS_H
#define PMT_AWS_H

#include <stddef.h>

enum { PMT_HET_ZLIB = 1, PMT_HET_BZIP2 = 2 };

/*
 * size bytes of what packed has; *length is all of it.  -EBADMSG: it is damaged, of
 * another method, or longer than a record can be.
 */
int pmt_het_unpack(unsigned int method, char *packed, size_t packed_length, void *buffer,
		   size_t size, size_t *length);

#endif
