#include <errno.h>
#include <stdlib.h>
#include <sys/select.h>

#include "poller-thread.h"

/*
 * select(2): a set has a bit for each descriptor below FD_SETSIZE, and none for any other. It tells nothing of a descriptor of which neither
 * reading nor writing is wanted, not even an error: that comes out at the next write, or when the deadline of its owner has passed.
 */
struct select_poller {
  struct npp_thread_poller base;
  fd_set readers;
  fd_set writers;
  /* Those of any interest, none included. */
  fd_set members;
  uint64_t keys[FD_SETSIZE];
  int highest;
  fd_set copied_readers;
  fd_set copied_writers;
  fd_set copied_members;
  uint64_t copied_keys[FD_SETSIZE];
  int copied_highest;
  struct npp_ready room[FD_SETSIZE];
};

static void put(fd_set *set, int descriptor, bool is_in) {
  if (is_in) {
    FD_SET(descriptor, set);
  } else {
    FD_CLR(descriptor, set);
  }
}

static int select_change(struct npp_poller *base, int descriptor, uint64_t key, unsigned int interest) {
  struct select_poller *poller = (struct select_poller *)base;
  if (descriptor < 0 || descriptor >= FD_SETSIZE) return -EBADF;
  npp_thread_lock(&poller->base);
  put(&poller->readers, descriptor, interest & NPP_POLL_READ);
  put(&poller->writers, descriptor, interest & NPP_POLL_WRITE);
  put(&poller->members, descriptor, true);
  poller->keys[descriptor] = key;
  if (descriptor > poller->highest) poller->highest = descriptor;
  npp_thread_unlock(&poller->base, true);
  return 0;
}

static void select_remove(struct npp_poller *base, int descriptor) {
  struct select_poller *poller = (struct select_poller *)base;
  if (descriptor < 0 || descriptor >= FD_SETSIZE) return;
  npp_thread_lock(&poller->base);
  put(&poller->readers, descriptor, false);
  put(&poller->writers, descriptor, false);
  put(&poller->members, descriptor, false);
  while (poller->highest >= 0 && !FD_ISSET(poller->highest, &poller->members)) poller->highest--;
  npp_thread_unlock(&poller->base, true);
}

static int copy(struct npp_thread_poller *base) {
  struct select_poller *poller = (struct select_poller *)base;
  poller->copied_readers = poller->readers;
  poller->copied_writers = poller->writers;
  poller->copied_members = poller->members;
  poller->copied_highest = poller->highest;
  for (int descriptor = 0; descriptor <= poller->highest; descriptor++) poller->copied_keys[descriptor] = poller->keys[descriptor];
  return 0;
}

static void wait_for_ready(struct npp_thread_poller *base, int bell) {
  struct select_poller *poller = (struct select_poller *)base;
  fd_set readers = poller->copied_readers, writers = poller->copied_writers;
  FD_SET(bell, &readers);
  base->ready_count = 0;
  int highest = bell > poller->copied_highest ? bell : poller->copied_highest;
  if (select(highest + 1, &readers, &writers, NULL, NULL) <= 0) return;
  FD_CLR(bell, &readers);
  for (int descriptor = 0; descriptor <= poller->copied_highest; descriptor++) {
    if (!FD_ISSET(descriptor, &poller->copied_members)) continue;
    /* An error makes a descriptor readable and writable: select(2). It is not told apart, and found by the read or the write. */
    unsigned int events = (FD_ISSET(descriptor, &readers) ? NPP_POLL_READ : 0) | (FD_ISSET(descriptor, &writers) ? NPP_POLL_WRITE : 0);
    if (events != 0) base->ready[base->ready_count++] = (struct npp_ready){.key = poller->copied_keys[descriptor], .events = events};
  }
}

static void release(struct npp_thread_poller *base) { free(base); }

static const struct npp_thread_hooks hooks = {.copy = copy, .wait = wait_for_ready, .release = release};

static int select_open(uv_loop_t *loop, const struct npp_poller_owner *owner, struct npp_poller **out) {
  struct select_poller *poller = calloc(1, sizeof *poller);
  if (poller == NULL) return -ENOMEM;
  poller->base.base = (struct npp_poller){.kind = &npp_poller_select, .owner = *owner};
  poller->base.hooks = &hooks;
  poller->base.ready = poller->room;
  poller->highest = poller->copied_highest = -1;
  int failed = npp_thread_open(&poller->base, loop);
  if (failed < 0) {
    release(&poller->base);
    return failed;
  }
  *out = &poller->base.base;
  return 0;
}

const struct npp_poller_kind npp_poller_select = {
    .descriptor_limit = FD_SETSIZE,
    .open = select_open,
    .add = select_change,
    .change = select_change,
    .remove = select_remove,
    .take = npp_thread_take,
    .done = npp_thread_done,
    .hold = npp_thread_hold,
    .close = npp_thread_close,
};
