// The physical limit: epoll, one canned reply (a file with head and body), no parsing beyond counting header ends.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 1024, PIPELINED = 64, REPLY_BYTES = 32768, REQUEST_BYTES = 16384 };
static char replies[PIPELINED * REPLY_BYTES], request[REQUEST_BYTES + 3];

int main(int argc, char **argv) {
  FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
  size_t size = file ? fread(replies, 1, REPLY_BYTES, file) : 0;
  if (size == 0) return fprintf(stderr, "usage: floor <file with the whole reply>\n"), 2;
  for (int i = 1; i < PIPELINED; i++) memcpy(replies + i * size, replies, size);

  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), epoll = epoll_create1(0), on = 1;
  setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // on Linux, accepted sockets inherit it
  if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 4096)) return perror("listen"), 1;
  getsockname(listener, (struct sockaddr *)&address, &length);
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN, .data.fd = listener});
  printf("http://127.0.0.1:%d\n", ntohs(address.sin_port)), fflush(stdout);

  for (struct epoll_event ready[BATCH];;) {
    int count = epoll_wait(epoll, ready, BATCH, -1);
    for (int i = 0; i < count; i++) {
      int fd = ready[i].data.fd, client;
      if (fd == listener) {
        while ((client = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
          epoll_ctl(epoll, EPOLL_CTL_ADD, client, &(struct epoll_event){.events = EPOLLIN, .data.fd = client});
        continue;
      }
      ssize_t got = recv(fd, request, REQUEST_BYTES, 0), ends = 0;
      if (got > 0) memset(request + got, 0, 3);
      for (char *at = request; got > 0 && (at = memchr(at, '\n', request + got - at)); at++) ends += at[1] == '\r' && at[2] == '\n';
      // A short write would need a queue; closing makes it an error that the load sees, and the row invalid.
      if (got <= 0 || ends > PIPELINED || send(fd, replies, ends * size, MSG_NOSIGNAL) != (ssize_t)(ends * size)) close(fd);
    }
  }
}
