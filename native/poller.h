/* Which descriptors are ready: one interface over epoll, poll and select, each inside the event loop of its environment. No JavaScript here. */
#ifndef NPP_POLLER_H
#define NPP_POLLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uv-abi.h"

#define NPP_POLL_READ 1u
#define NPP_POLL_WRITE 2u
/* An error or a hang-up; told whatever the interest. */
#define NPP_POLL_FAULT 4u
/* With READ, of a poller that tells it once: a read stops short of the end of the stream, or at urgent data, with more behind it. */
#define NPP_POLL_MORE 8u
/* As an interest, with READ: told again and again while there is something, whatever the poller does otherwise. */
#define NPP_POLL_LEVEL 16u

/* Descriptors taken at once: their sockets are still in the processor's cache when their answers are sent. The rest has its turn right after. */
#define NPP_READY_MAX 64

struct npp_ready {
  /* What the owner gave with the descriptor. */
  uint64_t key;
  unsigned int events;
};

struct npp_poller;

/* Where a poller reports. Both are called in the loop's thread. */
struct npp_poller_owner {
  /* Some descriptor is ready: `take` and `done` are called from in here. */
  void (*ready)(void *data);
  /* The last of the poller's handles is closed and the poller freed; `data` is not used again. */
  void (*gone)(void *data);
  void *data;
};

/* Calls that can fail return 0 or a negative errno. All are made in the loop's thread. */
struct npp_poller_kind {
  /* Descriptors from this number on cannot be watched; 0 for no such limit. */
  int descriptor_limit;
  /* READ is told once for what has arrived: who leaves some of it unread says so by `change`, also to the same interest. */
  bool tells_once;
  /* -ERANGE where the process has as many descriptors open that the poller's own is beyond the limit. */
  int (*open)(uv_loop_t *loop, const struct npp_poller_owner *owner, struct npp_poller **out);
  int (*add)(struct npp_poller *poller, int descriptor, uint64_t key, unsigned int interest);
  int (*change)(struct npp_poller *poller, int descriptor, uint64_t key, unsigned int interest);
  /* Before the descriptor is closed. */
  void (*remove)(struct npp_poller *poller, int descriptor);
  /* Descriptors that are ready, at most `room` of them; 0 when all were taken. Level-triggered: what is not dealt with is told again. */
  size_t (*take)(struct npp_poller *poller, struct npp_ready *into, size_t room);
  /* The ready ones were dealt with. */
  void (*done)(struct npp_poller *poller);
  /* Whether the poller keeps the event loop going. */
  void (*hold)(struct npp_poller *poller, bool holds);
  void (*close)(struct npp_poller *poller);
};

/* What each kind's own struct begins with. */
struct npp_poller {
  const struct npp_poller_kind *kind;
  struct npp_poller_owner owner;
};

extern const struct npp_poller_kind npp_poller_epoll;
extern const struct npp_poller_kind npp_poller_poll;
extern const struct npp_poller_kind npp_poller_select;

#endif
