/* SPDX-License-Identifier: MIT */
/* Eventfds of other people: which one it is, and who has it bound. */
#ifndef IRQFD_EVENTFD_H
#define IRQFD_EVENTFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmirq/irqfd.h>

/* Set in the kernel's identities, clear in those that callers choose. */
#define KERNELS_TOKEN (UINT64_C(1) << 63)

/*
 * The process's registry of bound eventfds. Each is known by a token: its caller's, or the kernel's. To ask
 * the kernel for one costs more than all else about a binding, and where all that are bound are in one VM's
 * kernel, which refuses a second irqfd for one eventfd itself, nobody needs it: such a binding has no name
 * until another wants to be held against it.
 */
struct eventfd_binding {
	int fd; /* whose it is; open until it is unbound */
	bool callers_token;
	bool named;			     /* the rest under the registry's lock */
	uint64_t token;			     /* once it is named */
	struct eventfd_binding *next, *prev; /* of those without a name; oldest first */
	struct eventfd_kernel *kernel;	     /* that it counts as being in, or NULL */
};

/* How many of the registry's are in this VM's kernel. Under the registry's lock. */
struct eventfd_kernel {
	size_t n;
};

/* `fd` and its token, the caller's or the kernel's, or 0. With `kernel` it counts as being in its VM's kernel,
 * which is asked for it next: the caller's locks see to it that nothing leaves that kernel meanwhile. -EBUSY:
 * it is bound. -ENOMEM; as vmirq_eventfd_token(), also for one of the others. */
int vmirq_eventfd_bind(struct eventfd_binding *binding, int fd, uint64_t token,
		       struct eventfd_kernel *kernel);
/* The same between hold and release: the registry is locked. */
int vmirq_eventfd_bind_held(struct eventfd_binding *binding, int fd, uint64_t token,
			    struct eventfd_kernel *kernel);
void vmirq_eventfd_hold(void);
void vmirq_eventfd_release(void);
void vmirq_eventfd_unbind(struct eventfd_binding *binding);
/* Its token. -EBUSY: it has none, and is bound elsewhere; errors as above. */
int vmirq_eventfd_name(struct eventfd_binding *binding, uint64_t *token);
/* It is in this kernel now, or (NULL) in none. */
void vmirq_eventfd_moved(struct eventfd_binding *binding, struct eventfd_kernel *kernel);

#endif
