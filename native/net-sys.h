/*
 * send(2), recv(2) by their numbers. In a process with threads glibc makes each of them a point where the thread may be cancelled, which
 * costs more than the rest of the call outside of the kernel; npp cancels no thread. glibc: sysdeps/unix/sysv/linux/sysdep-cancel.h.
 * The tests have the linker put calls that fail in their place: with NPP_LIBC_CALLS they go through the C library.
 */
#ifndef NPP_NET_SYS_H
#define NPP_NET_SYS_H

#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static inline ssize_t npp_send(int descriptor, const void *bytes, size_t length, int flags) {
#if defined(SYS_sendto) && !defined(NPP_LIBC_CALLS)
  return (ssize_t)syscall(SYS_sendto, descriptor, bytes, length, flags, NULL, 0);
#else
  return send(descriptor, bytes, length, flags);
#endif
}

static inline ssize_t npp_recv(int descriptor, void *into, size_t room, int flags) {
#if defined(SYS_recvfrom) && !defined(NPP_LIBC_CALLS)
  return (ssize_t)syscall(SYS_recvfrom, descriptor, into, room, flags, NULL, NULL);
#else
  return recv(descriptor, into, room, flags);
#endif
}

#endif
