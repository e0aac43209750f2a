#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "poller.h"

/*
 * Under load more is ready by the time a batch is answered. Asking for it at once saves a turn of the loop, which asks the kernel twice: for
 * this epoll's descriptor and for what is behind it. A small batch says that there is no such load.
 */
#define ROUNDS_A_TURN 16
#define SMALL_BATCH 2

/* epoll(7): an epoll descriptor is itself readable while one of its descriptors is ready, so that libuv's loop can wait for it. */
struct epoll_poller {
  struct npp_poller base;
  uv_poll_t *handle;
  int epoll;
  /* How often epoll is asked again before timers and other descriptors have their turn. */
  int rounds;
};

static void on_handle_closed(uv_handle_t *handle) {
  struct epoll_poller *poller = uv_handle_get_data(handle);
  struct npp_poller_owner owner = poller->base.owner;
  free(handle);
  free(poller);
  owner.gone(owner.data);
}

static void discard(uv_handle_t *handle) {
  free(uv_handle_get_data(handle));
  free(handle);
}

static void on_readable(uv_poll_t *handle, int status, int events) {
  struct epoll_poller *poller = uv_handle_get_data((uv_handle_t *)handle);
  (void)events;
  /* libuv reports an error for a descriptor that is none, which ours always is; asking epoll itself is right in either case. */
  (void)status;
  poller->rounds = ROUNDS_A_TURN;
  poller->base.owner.ready(poller->base.owner.data);
}

static int epoll_open(uv_loop_t *loop, const struct npp_poller_owner *owner, struct npp_poller **out) {
  struct epoll_poller *poller = calloc(1, sizeof *poller);
  uv_poll_t *handle = malloc(uv_handle_size(NPP_UV_POLL));
  int failed = poller == NULL || handle == NULL ? -ENOMEM : 0;
  int epoll = -1;
  if (failed == 0) {
    epoll = epoll_create1(EPOLL_CLOEXEC);
    failed = epoll < 0 ? -errno : uv_poll_init(loop, handle, epoll);
  }
  if (failed < 0) {
    if (epoll >= 0) (void)close(epoll);
    free(handle);
    free(poller);
    return failed;
  }
  poller->base.kind = &npp_poller_epoll;
  poller->base.owner = *owner;
  poller->handle = handle;
  poller->epoll = epoll;
  uv_handle_set_data((uv_handle_t *)handle, poller);
  uv_unref((uv_handle_t *)handle);
  failed = uv_poll_start(handle, NPP_UV_READABLE, on_readable);
  if (failed < 0) {
    uv_close((uv_handle_t *)handle, discard);
    (void)close(epoll);
    return failed;
  }
  *out = &poller->base;
  return 0;
}

static int control(struct npp_poller *base, int operation, int descriptor, uint64_t key, unsigned int interest) {
  struct epoll_poller *poller = (struct epoll_poller *)base;
  struct epoll_event event = {.events = 0, .data = {.u64 = key}};
  /*
   * epoll(7): a level-triggered descriptor that was told is asked again at the next wait, only to find that its bytes were read meanwhile.
   * Listeners and writing stay level-triggered.
   */
  if (interest & NPP_POLL_READ) event.events |= (interest & NPP_POLL_LEVEL) ? EPOLLIN : EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET;
  if (interest & NPP_POLL_WRITE) event.events |= EPOLLOUT;
  return epoll_ctl(poller->epoll, operation, descriptor, &event) == 0 ? 0 : -errno;
}

static int epoll_add(struct npp_poller *base, int descriptor, uint64_t key, unsigned int interest) {
  return control(base, EPOLL_CTL_ADD, descriptor, key, interest);
}

static int epoll_change(struct npp_poller *base, int descriptor, uint64_t key, unsigned int interest) {
  return control(base, EPOLL_CTL_MOD, descriptor, key, interest);
}

static void epoll_remove(struct npp_poller *base, int descriptor) {
  /* Fails only for a descriptor that is not in the set, which is what was asked for. */
  (void)control(base, EPOLL_CTL_DEL, descriptor, 0, 0);
}

static size_t epoll_take(struct npp_poller *base, struct npp_ready *into, size_t room) {
  struct epoll_poller *poller = (struct epoll_poller *)base;
  struct epoll_event events[NPP_READY_MAX];
  if (poller->rounds == 0) return 0;
  poller->rounds--;
  int count = epoll_wait(poller->epoll, events, (int)(room < NPP_READY_MAX ? room : NPP_READY_MAX), 0);
  /* EINTR: the loop comes back, as the descriptor stays readable. */
  if (count < SMALL_BATCH) poller->rounds = 0;
  if (count < 0) return 0;
  for (int index = 0; index < count; index++) {
    uint32_t seen = events[index].events;
    into[index].key = events[index].data.u64;
    into[index].events = ((seen & EPOLLIN) ? NPP_POLL_READ : 0) | ((seen & EPOLLOUT) ? NPP_POLL_WRITE : 0) |
                         ((seen & (EPOLLERR | EPOLLHUP)) ? NPP_POLL_FAULT : 0) | ((seen & (EPOLLRDHUP | EPOLLPRI)) ? NPP_POLL_MORE : 0);
  }
  return (size_t)count;
}

static void epoll_done(struct npp_poller *base) { (void)base; }

static void epoll_hold(struct npp_poller *base, bool holds) {
  uv_handle_t *handle = (uv_handle_t *)((struct epoll_poller *)base)->handle;
  if (holds) {
    uv_ref(handle);
  } else {
    uv_unref(handle);
  }
}

static void epoll_close(struct npp_poller *base) {
  struct epoll_poller *poller = (struct epoll_poller *)base;
  uv_close((uv_handle_t *)poller->handle, on_handle_closed);
  /* libuv, poll.html: the descriptor may be closed at once after uv_close. */
  (void)close(poller->epoll);
  poller->epoll = -1;
}

const struct npp_poller_kind npp_poller_epoll = {
    .descriptor_limit = 0,
    .tells_once = true,
    .open = epoll_open,
    .add = epoll_add,
    .change = epoll_change,
    .remove = epoll_remove,
    .take = epoll_take,
    .done = epoll_done,
    .hold = epoll_hold,
    .close = epoll_close,
};
