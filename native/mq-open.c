#include "mq-open.h"

#include <errno.h>
#include <fcntl.h>

/* Another process may unlink and create the name again between our two opens. */
#define OPEN_TRIES 16

int npp_mq_open(const char *name, unsigned int flags, mode_t mode, struct mq_attr *attributes, mqd_t *descriptor, bool *created,
                const char **syscall_name) {
  /* Linux sets close-on-exec on every queue; asking for it keeps that visible. */
  const int access = O_RDWR | O_NONBLOCK | O_CLOEXEC;
  int error = 0;
  *syscall_name = "mq_open";
  *created = false;
  /* Creation is tried exclusively first: only so it is known who created the queue, and who therefore sets its mode. */
  for (int tries = 0; tries < OPEN_TRIES; tries++) {
    error = 0;
    if (flags & NPP_MQ_CREATE) {
      *descriptor = mq_open(name, access | O_CREAT | O_EXCL, mode, attributes);
      if (*descriptor != (mqd_t)-1) {
        *created = true;
        break;
      }
      error = errno;
      if (error != EEXIST || (flags & NPP_MQ_EXCLUSIVE)) return error;
    }
    *descriptor = mq_open(name, access);
    if (*descriptor != (mqd_t)-1) {
      error = 0;
      break;
    }
    error = errno;
    if (error != ENOENT || !(flags & NPP_MQ_CREATE)) return error;
  }
  if (error != 0) return error;
  /* mq_open subtracts the umask; the caller's mode is meant exactly. */
  if (*created && fchmod(*descriptor, mode) != 0) {
    error = errno;
    *syscall_name = "fchmod";
    (void)mq_close(*descriptor);
    (void)mq_unlink(name);
  }
  return error;
}
