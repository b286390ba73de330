/* CRC-32 as in IEEE 802.3, zlib and Go's hash/crc32: polynomial 0xEDB88320, reflected, all ones in and out. */
#ifndef PINFOLD_CRC_H
#define PINFOLD_CRC_H

#include <stddef.h>
#include <stdint.h>

/* Returns the CRC-32 of the bytes. */
uint32_t crc32(const void *data, size_t size);

#endif
