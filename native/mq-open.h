/* Opening a POSIX message queue, its mode exact. No JavaScript here. */
#ifndef NPP_MQ_OPEN_H
#define NPP_MQ_OPEN_H

#include <mqueue.h>
#include <stdbool.h>
#include <sys/stat.h>

#define NPP_MQ_CREATE 1u
#define NPP_MQ_EXCLUSIVE 2u

/*
 * Opens the queue for reading and writing, non-blocking, closed on exec. With NPP_MQ_CREATE it is made where there is none, with `attributes`
 * and exactly `mode`; with NPP_MQ_EXCLUSIVE too, one that exists is refused. Returns 0 or an errno, with the name of the call that failed.
 */
int npp_mq_open(const char *name, unsigned int flags, mode_t mode, struct mq_attr *attributes, mqd_t *descriptor, bool *created,
                const char **syscall_name);

#endif
