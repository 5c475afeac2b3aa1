#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# law 4: the master end answers as st does.  Each file of vectors/ is a script
# with st's own answers; see tests/README.md for what was left out.

. "$(dirname "$0")/lib.sh"

vectors_of() {
	local got=0
	image_unit
	tt -u "$UNIT" -c medium "$dir/vectors/$1.tt" > "$T/results" || got=$?
	return "$got"
}

case_a_open() { vectors_of A-open; }
case_b_write() { vectors_of B-write; }
case_c_read() { vectors_of C-read; }
case_d_fixed() { vectors_of D-fixed; }
case_e_ops() { vectors_of E-ops; }
case_f_filemarks() { vectors_of F-filemarks; }
case_g_end() { vectors_of G-end; }
case_i_calls() { vectors_of I-calls; }
case_l_options() { vectors_of L-options; }
case_m_more() { vectors_of M-more; }
case_n_programs() { vectors_of N-programs; }

main "$@"
