/* Frames on a byte stream: the phone link, and the peer link where it is a stream. A frame is

       0x7E | escaped( payload | CRC-32 of the payload, big-endian ) | 0x7E

   The escape is 0x7D, and the byte after it stands for itself XOR 0x20; a sender escapes 0x7E and 0x7D. The CRC is that
   of IEEE 802.3. One flag may end a frame and begin the next. client/link is the same in Go. */
#ifndef PINFOLD_FRAME_H
#define PINFOLD_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a buffer in which a decoder gathers payloads of up to n bytes. */
#define FRAME_BUFFER(n) ((n) + 4u)

/* Most bytes that a payload of n bytes takes on the stream. */
#define FRAME_ENCODED(n) (2u * ((n) + 4u) + 2u)

struct frame_decoder {
	uint8_t *buffer;
	size_t capacity;
	size_t size;   /* bytes gathered since the last flag */
	bool escaped;  /* the last byte was an escape */
	bool spoiled;  /* too long already: wait for the next flag */
	uint32_t bad;  /* frames dropped so far */
};

/* Makes a decoder that stands as after a flag. The buffer must outlive it; it takes payloads of up to capacity - 4 bytes. */
void frame_decoder_init(struct frame_decoder *d, uint8_t *buffer, size_t capacity);

/* Takes one byte. When it ends a good frame, returns the size of the payload, at least 1, which stands at the begin of
   the buffer until the next byte; otherwise returns 0. A frame that is too short or too long, has a wrong CRC, or ends
   in an escape is dropped and counted in bad; the next frame is not harmed. Two flags in a row are no frame. */
size_t frame_decode(struct frame_decoder *d, uint8_t byte);

/* Writes the frame of a payload to out and returns its size. Returns 0, and writes nothing of use, if the payload is
   empty or the frame takes more than max bytes. */
size_t frame_encode(uint8_t *out, size_t max, const uint8_t *payload, size_t size);

#endif
