/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between the kernels that pmt builds for.  Kbuild probes the
 * headers; nothing here or elsewhere compares version numbers.
 */
#ifndef PMT_COMPAT_H
#define PMT_COMPAT_H

#include <linux/device.h>
#include <linux/mm.h>

#ifndef PMT_HAVE_VM_FLAGS_CLEAR
static inline void vm_flags_mod(struct vm_area_struct *vma, vm_flags_t set,
				vm_flags_t clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#endif

/*
 * A class of the driver core's, not of the module's: its last reference may be
 * put when the module has gone.  While it took the module, too, it was a macro.
 */
#ifdef class_create
#define pmt_class_create(name)	class_create(THIS_MODULE, name)
#else
#define pmt_class_create(name)	class_create(name)
#endif

#endif
