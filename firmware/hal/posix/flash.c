#define _GNU_SOURCE
#include "flash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hal.h"
#include "posix.h"

#define SIZE (HAL_FLASH_PAGE * HAL_FLASH_PAGES)

/* The file is mapped: what was written stays when the process is killed, as it would in flash. */
static uint8_t *cells;
static uint32_t cut_after;
static uint32_t operations;

bool flash_open(const char *path, uint32_t cut) {
	cut_after = cut;
	int fd = -1;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS;
	bool fresh = true;
	if (path != NULL) {
		struct stat s;
		flags = MAP_SHARED;
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
		if (fd < 0 || fstat(fd, &s) != 0) {
			fprintf(stderr, "pin: %s: %s\n", path, errno == ELOOP ? "a symbolic link, and the flash holds the pin's key" : strerror(errno));
			return false;
		}
		if (!S_ISREG(s.st_mode) || (s.st_mode & 0177) != 0 || s.st_uid != geteuid()) {
			fprintf(stderr,
			        "pin: %s: mode %#o, owned by uid %u: the flash holds the pin's key, and must be a regular file of mode 0600 or "
			        "less that belongs to uid %u\n",
			        path, (unsigned)s.st_mode & 07777, (unsigned)s.st_uid, (unsigned)geteuid());
			return false;
		}
		if (s.st_size != 0 && s.st_size != SIZE) {
			fprintf(stderr, "pin: %s: a flash file has %u bytes, this has %lld\n", path, SIZE, (long long)s.st_size);
			return false;
		}
		fresh = s.st_size == 0;
		if (fresh && ftruncate(fd, SIZE) != 0) {
			fprintf(stderr, "pin: %s: %s\n", path, strerror(errno));
			return false;
		}
	}
	void *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (fd >= 0) {
		close(fd);
	}
	if (map == MAP_FAILED) {
		fprintf(stderr, "pin: flash: %s\n", strerror(errno));
		return false;
	}
	cells = map;
	if (fresh) {
		memset(cells, 0xFF, SIZE);
	}
	return true;
}

/* cut counts one operation and says whether the power fails within it. */
static bool cut(void) {
	return cut_after != 0 && ++operations >= cut_after;
}

bool hal_flash_read(uint32_t offset, void *to, size_t size) {
	if (offset > SIZE || size > SIZE - offset) {
		return false;
	}
	memcpy(to, cells + offset, size);
	return true;
}

bool hal_flash_write(uint32_t offset, const void *from, size_t size) {
	if (offset > SIZE || size > SIZE - offset || offset % HAL_FLASH_WORD != 0 || size % HAL_FLASH_WORD != 0) {
		return false;
	}
	const uint8_t *bytes = from;
	for (size_t i = 0; i < size; i++) {
		if (i % HAL_FLASH_WORD == 0 && cut()) {
			cells[offset + i] &= bytes[i] | 0x55u; /* half of the bits got there */
			_exit(POSIX_CUT_STATUS);
		}
		cells[offset + i] &= bytes[i];
	}
	return true;
}

bool hal_flash_erase(uint32_t page) {
	if (page >= HAL_FLASH_PAGES) {
		return false;
	}
	uint8_t *begin = cells + page * HAL_FLASH_PAGE;
	if (cut()) {
		memset(begin, 0xFF, HAL_FLASH_PAGE / 2);
		_exit(POSIX_CUT_STATUS);
	}
	memset(begin, 0xFF, HAL_FLASH_PAGE);
	return true;
}
