#define _GNU_SOURCE /* accept4 */
#include "link.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define REDIAL_MS 50
#define PATIENCE_MS 1000

static const char prefix[] = "listen:";

static int64_t now_ms(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int listen_at(const struct sockaddr_un *address) {
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		return -1;
	}
	unlink(address->sun_path);
	if (bind(fd, (const struct sockaddr *)address, sizeof *address) != 0 || listen(fd, 1) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool address_of(struct sockaddr_un *address, const char *path) {
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof address->sun_path) {
		return false;
	}
	strcpy(address->sun_path, path);
	return true;
}

/* connected connects the link if it can be; it dials no more often than each REDIAL_MS. */
static bool connected(struct link *l) {
	if (l->fd >= 0 || l->path == NULL) {
		return l->fd >= 0;
	}
	if (l->listens) {
		l->fd = accept4(l->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		return l->fd >= 0;
	}
	if (now_ms() - l->dialled_ms < REDIAL_MS) {
		return false;
	}
	l->dialled_ms = now_ms();
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		return false;
	}
	if (!address_of(&address, l->path) || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
		close(fd);
		return false;
	}
	l->fd = fd;
	return true;
}

static void hang_up(struct link *l) {
	close(l->fd);
	l->fd = -1;
}

bool link_open(struct link *l, const char *path) {
	*l = (struct link){.listener = -1, .fd = -1, .dialled_ms = now_ms() - REDIAL_MS};
	if (path == NULL) {
		return true;
	}
	l->listens = strncmp(path, prefix, sizeof prefix - 1) == 0;
	l->path = l->listens ? path + sizeof prefix - 1 : path;
	struct sockaddr_un address;
	if (!address_of(&address, l->path)) {
		fprintf(stderr, "pin: %s: a socket's path has at most %zu bytes\n", l->path, sizeof address.sun_path - 1);
		return false;
	}
	if (l->listens && (l->listener = listen_at(&address)) < 0) {
		fprintf(stderr, "pin: %s: %s\n", l->path, strerror(errno));
		return false;
	}
	connected(l);
	return true;
}

/* fill reads ahead from the socket. */
static void fill(struct link *l) {
	ssize_t n = recv(l->fd, l->ahead, sizeof l->ahead, 0);
	if (n > 0) {
		l->first = 0;
		l->count = (size_t)n;
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		hang_up(l);
	}
}

bool link_ready(const struct link *l) {
	return l->count > 0;
}

size_t link_read(struct link *l, uint8_t *to, size_t max) {
	if (l->count == 0 && connected(l)) {
		fill(l);
	}
	size_t n = l->count < max ? l->count : max;
	memcpy(to, l->ahead + l->first, n);
	l->first += n;
	l->count -= n;
	return n;
}

/* attended connects the link to somebody who is still there: what is written to one who has left would be lost, though the
   next one may wait in line already. */
static bool attended(struct link *l) {
	uint8_t byte;
	while (connected(l) && recv(l->fd, &byte, 1, MSG_PEEK) == 0) {
		hang_up(l);
	}
	return l->fd >= 0;
}

size_t link_write(struct link *l, const uint8_t *from, size_t size) {
	if (!attended(l)) {
		return size;
	}
	ssize_t n = send(l->fd, from, size, MSG_NOSIGNAL);
	if (n >= 0) {
		return (size_t)n;
	}
	if (errno == EAGAIN || errno == EINTR) {
		return 0;
	}
	hang_up(l);
	return size;
}

void link_write_all(struct link *l, const uint8_t *from, size_t size) {
	int64_t end = now_ms() + PATIENCE_MS;
	while (size > 0) {
		size_t n = link_write(l, from, size);
		from += n;
		size -= n;
		if (size == 0) {
			return;
		}
		int64_t left = end - now_ms();
		if (left <= 0) {
			hang_up(l);
			return;
		}
		struct pollfd wait = {.fd = l->fd, .events = POLLOUT};
		poll(&wait, 1, (int)left);
	}
}

int link_wait(const struct link *l) {
	return l->fd >= 0 ? l->fd : l->listener;
}
