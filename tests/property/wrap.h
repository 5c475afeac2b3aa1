/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the linker calls for the library in place of the system (--wrap). */
#ifndef WRAP_H
#define WRAP_H

#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/types.h>

/* fibers.c */
int __wrap_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
int __wrap_pthread_join(pthread_t, void **);
int __wrap_pthread_mutex_init(pthread_mutex_t *, const pthread_mutexattr_t *);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *);
int __wrap_pthread_mutex_lock(pthread_mutex_t *);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *);
int __wrap_pthread_cond_init(pthread_cond_t *, const pthread_condattr_t *);
int __wrap_pthread_cond_destroy(pthread_cond_t *);
int __wrap_pthread_cond_wait(pthread_cond_t *, pthread_mutex_t *);
int __wrap_pthread_cond_signal(pthread_cond_t *);
int __wrap_pthread_cond_broadcast(pthread_cond_t *);

/* slave.c */
int __wrap_open64(const char *, int, ...);
int __wrap_close(int);
int __wrap_ioctl(int, unsigned long, ...);
void *__wrap_mmap64(void *, size_t, int, int, int, off_t);
int __wrap_munmap(void *, size_t);
int __wrap_poll(struct pollfd *, nfds_t, int);
int __wrap_eventfd(unsigned int, int);
ssize_t __wrap_read(int, void *, size_t);
ssize_t __wrap_write(int, const void *, size_t);

#endif
