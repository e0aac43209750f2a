#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "poller-thread.h"

#define FIRST_ROOM 64

/* The set as the loop changes it, and the copy on which the thread waits. In the copy place 0 is the bell. */
struct poll_poller {
  struct npp_thread_poller base;
  struct pollfd *set;
  uint64_t *keys;
  size_t used;
  size_t room;
  /* Place in the set by descriptor; -1 for one that is not in it. */
  int *places;
  size_t places_room;
  struct pollfd *copied;
  uint64_t *copied_keys;
  size_t copied_used;
  size_t copied_room;
};

static void *widen(void *from, size_t count, size_t size) { return reallocarray(from, count, size); }

static int make_place(struct poll_poller *poller, int descriptor) {
  if ((size_t)descriptor >= poller->places_room) {
    size_t room = poller->places_room == 0 ? FIRST_ROOM : poller->places_room;
    while (room <= (size_t)descriptor) room *= 2;
    int *places = widen(poller->places, room, sizeof *places);
    if (places == NULL) return -ENOMEM;
    for (size_t place = poller->places_room; place < room; place++) places[place] = -1;
    poller->places = places;
    poller->places_room = room;
  }
  if (poller->used < poller->room) return 0;
  size_t room = poller->room == 0 ? FIRST_ROOM : poller->room * 2;
  struct pollfd *set = widen(poller->set, room, sizeof *set);
  if (set == NULL) return -ENOMEM;
  poller->set = set;
  uint64_t *keys = widen(poller->keys, room, sizeof *keys);
  if (keys == NULL) return -ENOMEM;
  poller->keys = keys;
  poller->room = room;
  return 0;
}

static short mask_of(unsigned int interest) {
  return (short)(((interest & NPP_POLL_READ) ? POLLIN : 0) | ((interest & NPP_POLL_WRITE) ? POLLOUT : 0));
}

static int poll_add(struct npp_poller *base, int descriptor, uint64_t key, unsigned int interest) {
  struct poll_poller *poller = (struct poll_poller *)base;
  npp_thread_lock(&poller->base);
  int failed = make_place(poller, descriptor);
  if (failed == 0) {
    size_t place = poller->used++;
    poller->set[place] = (struct pollfd){.fd = descriptor, .events = mask_of(interest), .revents = 0};
    poller->keys[place] = key;
    poller->places[descriptor] = (int)place;
  }
  npp_thread_unlock(&poller->base, failed == 0);
  return failed;
}

/* The place of a descriptor, -1 when it is not in the set. */
static int place_of(const struct poll_poller *poller, int descriptor) {
  return descriptor >= 0 && (size_t)descriptor < poller->places_room ? poller->places[descriptor] : -1;
}

static int poll_change(struct npp_poller *base, int descriptor, uint64_t key, unsigned int interest) {
  struct poll_poller *poller = (struct poll_poller *)base;
  npp_thread_lock(&poller->base);
  int place = place_of(poller, descriptor);
  if (place >= 0) {
    poller->set[place].events = mask_of(interest);
    poller->keys[place] = key;
  }
  npp_thread_unlock(&poller->base, place >= 0);
  return place >= 0 ? 0 : -ENOENT;
}

static void poll_remove(struct npp_poller *base, int descriptor) {
  struct poll_poller *poller = (struct poll_poller *)base;
  npp_thread_lock(&poller->base);
  int place = place_of(poller, descriptor);
  if (place >= 0) {
    size_t last = --poller->used;
    poller->set[place] = poller->set[last];
    poller->keys[place] = poller->keys[last];
    poller->places[poller->set[place].fd] = place;
    poller->places[descriptor] = -1;
  }
  npp_thread_unlock(&poller->base, place >= 0);
}

static int copy(struct npp_thread_poller *base) {
  struct poll_poller *poller = (struct poll_poller *)base;
  if (poller->copied_room < poller->room + 1) {
    size_t room = poller->room + 1;
    struct pollfd *copied = widen(poller->copied, room, sizeof *copied);
    if (copied == NULL) return -ENOMEM;
    poller->copied = copied;
    uint64_t *keys = widen(poller->copied_keys, room, sizeof *keys);
    if (keys == NULL) return -ENOMEM;
    poller->copied_keys = keys;
    struct npp_ready *ready = widen(base->ready, room, sizeof *ready);
    if (ready == NULL) return -ENOMEM;
    base->ready = ready;
    poller->copied_room = room;
  }
  if (poller->used > 0) {
    memcpy(poller->copied + 1, poller->set, poller->used * sizeof *poller->set);
    memcpy(poller->copied_keys + 1, poller->keys, poller->used * sizeof *poller->keys);
  }
  poller->copied_used = poller->used + 1;
  return 0;
}

static void wait_for_ready(struct npp_thread_poller *base, int bell) {
  struct poll_poller *poller = (struct poll_poller *)base;
  struct pollfd alone;
  base->ready_count = 0;
  /* Without memory for the first copy the bell alone is waited for. */
  struct pollfd *set = poller->copied == NULL ? &alone : poller->copied;
  size_t used = poller->copied == NULL ? 1 : poller->copied_used;
  set[0] = (struct pollfd){.fd = bell, .events = POLLIN, .revents = 0};
  int left = poll(set, used, -1);
  if (left <= 0) return;
  if (set[0].revents != 0) left--;
  for (size_t place = 1; place < used && left > 0; place++) {
    short seen = set[place].revents;
    if (seen == 0) continue;
    left--;
    base->ready[base->ready_count++] = (struct npp_ready){
        .key = poller->copied_keys[place],
        .events = ((seen & POLLIN) ? NPP_POLL_READ : 0) | ((seen & POLLOUT) ? NPP_POLL_WRITE : 0) |
                  /* POLLNVAL: closed since the copy was made; the generation in the key tells. */
                  ((seen & (POLLERR | POLLHUP | POLLNVAL)) ? NPP_POLL_FAULT : 0),
    };
  }
}

static void release(struct npp_thread_poller *base) {
  struct poll_poller *poller = (struct poll_poller *)base;
  free(poller->set);
  free(poller->keys);
  free(poller->places);
  free(poller->copied);
  free(poller->copied_keys);
  free(base->ready);
  free(poller);
}

static const struct npp_thread_hooks hooks = {.copy = copy, .wait = wait_for_ready, .release = release};

static int poll_open(uv_loop_t *loop, const struct npp_poller_owner *owner, struct npp_poller **out) {
  struct poll_poller *poller = calloc(1, sizeof *poller);
  if (poller == NULL) return -ENOMEM;
  poller->base.base = (struct npp_poller){.kind = &npp_poller_poll, .owner = *owner};
  poller->base.hooks = &hooks;
  int failed = npp_thread_open(&poller->base, loop);
  if (failed < 0) {
    release(&poller->base);
    return failed;
  }
  *out = &poller->base.base;
  return 0;
}

const struct npp_poller_kind npp_poller_poll = {
    .descriptor_limit = 0,
    .open = poll_open,
    .add = poll_add,
    .change = poll_change,
    .remove = poll_remove,
    .take = npp_thread_take,
    .done = npp_thread_done,
    .hold = npp_thread_hold,
    .close = npp_thread_close,
};
