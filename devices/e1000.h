/* SPDX-License-Identifier: MIT */
/*
 * An Intel 8254x network card, emulated by a QEMU in another process, used for one thing: a real
 * source of level-triggered interrupts (INTx).
 *
 * A cause raised asserts the line, which signals `intr`. While the line is up, every signal to
 * `resample` makes the device signal `intr` again. Reading ICR clears the cause and lowers the
 * line. Both eventfds are the caller's to bind to a GSI, as a resample irqfd; this file does not
 * touch them after the start. QEMU has cleared their O_NONBLOCK by then.
 *
 * Resampling is not acknowledged. A cause that is raised after an EOI but before the device has
 * looked at the signal to `resample` is signalled twice, and its second interrupt may find ICR 0.
 *
 * The card limits its own interrupts: after one it holds the next back until 128 us have passed
 * (QEMU's "mitigation"). A cause raised meanwhile is signalled then; it is never lost.
 *
 * Errors are those of x_remote.h: the process is not trusted, and every call is bounded in time.
 * Thread safety: any thread, any time, unless it says so; may block.
 */
#ifndef DEVICES_E1000_H
#define DEVICES_E1000_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The registers, by their offset in BAR0 (8254x Software Developer's Manual, 13.4). */
#define E1000_STATUS 0x0008u
#define E1000_ICR    0x00c0u
#define E1000_ICS    0x00c8u
#define E1000_IMS    0x00d0u
#define E1000_IMC    0x00d8u

/* The cause that e1000_raise() raises: link status change, which nothing else raises here. */
#define E1000_CAUSE_LSC 0x4u

#define E1000_BAR0_SIZE 0x20000u

struct e1000;

/* 0 if QEMU is there to be started; -ENOENT. */
int e1000_available(void);

/* Start QEMU, map BAR0 and enable the cause. At most start_ms until it is ready; later calls take
 * at most timeout_ms each. From one thread that lives as long as the device: see child.h. -ENOENT:
 * no such program; -EPROTO also if it is no e1000. `why` (may be NULL, then size 0) gets one line
 * of what QEMU had to say, or "". */
int e1000_start(int start_ms, int timeout_ms, struct e1000 **out, char *why, size_t size);

/* The same with a device process of somebody else's, behind a connected socket, which is taken over
 * also on error. */
int e1000_attach(int socket, int timeout_ms, struct e1000 **out);

/* Stop QEMU if we started it, close everything. NULL is nothing. No other call may be going on. */
void e1000_stop(struct e1000 *e1000);

/* INTx: eventfds, closed by e1000_stop(). */
int e1000_intr_fd(const struct e1000 *e1000);
int e1000_resample_fd(const struct e1000 *e1000);

/* Raise the cause (ICS). Returns once the device has taken note. */
int e1000_raise(struct e1000 *e1000);

/* Read ICR: which causes there were; they are cleared and the line goes down. */
int e1000_read_icr(struct e1000 *e1000, uint32_t *causes);

/* The same, but nothing is cleared: QEMU keeps a copy in ICS. */
int e1000_causes(struct e1000 *e1000, uint32_t *causes);

/* A guest's own access to BAR0, for a VMM. -EINVAL: beyond it, or not 1, 2 or 4 bytes, aligned. */
int e1000_bar0_read(struct e1000 *e1000, uint32_t offset, uint32_t size, uint32_t *value);
int e1000_bar0_write(struct e1000 *e1000, uint32_t offset, uint32_t size, uint32_t value);

/* 0 while the device is there; else what ended it. */
int e1000_alive(struct e1000 *e1000);

/* Readable once its process is dead (for an event loop; read nothing from it); -1 = not known. */
int e1000_death_fd(const struct e1000 *e1000);

/* The rest is for whoever started it: one thread at a time. */

/* 0 = a process of somebody else's. */
pid_t e1000_pid(const struct e1000 *e1000);
/* SIGKILL and reap: when it returns, the device does nothing any more. */
void e1000_kill(struct e1000 *e1000);
/* How it died, in one line ("" while it runs). Returns buf. */
const char *e1000_last_words(struct e1000 *e1000, char *buf, size_t size);

#endif
