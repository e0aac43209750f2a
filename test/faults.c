/*
 * System calls that fail now and then as they are allowed to, for the sanitized build: linked with --wrap, so that the addon calls these. Only
 * with NPP_TEST_FAULTS in the environment; without it they pass everything on. Its number says where the round of failures begins: there are
 * nine places, 1 to 9, and a test meets other failures from each.
 */
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

ssize_t __real_send(int descriptor, const void *bytes, size_t length, int flags);
ssize_t __real_sendmsg(int descriptor, const struct msghdr *message, int flags);
ssize_t __real_recv(int descriptor, void *into, size_t room, int flags);
ssize_t __real_sendfile(int out, int in, off_t *offset, size_t count);
int __real_accept4(int descriptor, struct sockaddr *address, socklen_t *size, int flags);

/* Where the round begins; 0 for no failures. */
static unsigned int seed(void) {
  const char *text = getenv("NPP_TEST_FAULTS");
  return text == NULL ? 0 : (unsigned int)strtoul(text, NULL, 10);
}

/* Every third call goes wrong, in turn each way that it can. Counted for all threads together. */
static int fault(int ways) {
  static atomic_uint calls;
  static atomic_uint begin = UINT_MAX;
  if (begin == UINT_MAX) begin = seed();
  if (begin == 0) return 0;
  unsigned int call = begin + atomic_fetch_add(&calls, 1);
  return call % 3 == 0 ? 1 + (int)(call / 3 % (unsigned int)ways) : 0;
}

static int fail(int error) {
  errno = error;
  return -1;
}

ssize_t __wrap_send(int descriptor, const void *bytes, size_t length, int flags) {
  switch (fault(3)) {
    case 1:
      return fail(EINTR);
    case 2:
      return fail(EAGAIN);
    case 3:
      return __real_send(descriptor, bytes, length > 1 ? length / 2 : length, flags);
    default:
      return __real_send(descriptor, bytes, length, flags);
  }
}

ssize_t __wrap_sendmsg(int descriptor, const struct msghdr *message, int flags) {
  switch (fault(3)) {
    case 1:
      return fail(EINTR);
    case 2:
      return fail(EAGAIN);
    case 3:
      return __real_send(descriptor, message->msg_iov[0].iov_base, message->msg_iov[0].iov_len, flags);
    default:
      return __real_sendmsg(descriptor, message, flags);
  }
}

ssize_t __wrap_recv(int descriptor, void *into, size_t room, int flags) {
  switch (fault(3)) {
    case 1:
      return fail(EINTR);
    case 2:
      return fail(EAGAIN);
    case 3: {
      /* Linux cuts a read short at urgent data only, and tells epoll of the rest. Setting the low-water mark has it tell of a rest, too: tcp(7). */
      ssize_t got = __real_recv(descriptor, into, room > 1000 ? 1000 : room, flags);
      int error = errno, mark = 1;
      (void)setsockopt(descriptor, SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof mark);
      errno = error;
      return got;
    }
    default:
      return __real_recv(descriptor, into, room, flags);
  }
}

ssize_t __wrap_sendfile(int out, int in, off_t *offset, size_t count) {
  switch (fault(3)) {
    case 1:
      return fail(EINTR);
    case 2:
      return fail(EAGAIN);
    case 3:
      return __real_sendfile(out, in, offset, count > 1 ? count / 2 : count);
    default:
      return __real_sendfile(out, in, offset, count);
  }
}

int __wrap_accept4(int descriptor, struct sockaddr *address, socklen_t *size, int flags) {
  switch (fault(3)) {
    case 1:
      return fail(EINTR);
    case 2:
      return fail(EAGAIN);
    case 3:
      return fail(ECONNABORTED);
    default:
      return __real_accept4(descriptor, address, size, flags);
  }
}
