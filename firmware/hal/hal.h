/* What the pin needs from the board under it. One header, one folder of drivers for each board: posix (a process, for
   tests and play), mps2 (QEMU's mps2-an386). All calls return at once, but for hal_idle. There is one board per
   process, so its state is the drivers' own. */
#ifndef PINFOLD_HAL_H
#define PINFOLD_HAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The store's flash: NOR, 32 pages of 4096 bytes (the erase unit of the nRF52840). Erased is 0xFF, and a write can only
   clear bits. Power can fail at any word: a word being written, and a page being erased, then hold anything. */
#define HAL_FLASH_PAGE 4096u
#define HAL_FLASH_PAGES 32u
#define HAL_FLASH_WORD 4u

/* Largest datagram of the peer link, in bytes (docs/design.md section 5). */
#define HAL_PEER_MAX 244u
#define HAL_PEER_NOISE 4096

/* The round display: 240 x 240 pixels, each a uint16_t RGB565 in the byte order of the CPU. */
#define HAL_DISPLAY_SIZE 240u

/* Reads size bytes at offset. False if that is not all within the flash, or the part failed. */
bool hal_flash_read(uint32_t offset, void *to, size_t size);

/* Writes whole words: offset and size are multiples of 4. False if not so, or outside the flash, or the part failed. */
bool hal_flash_write(uint32_t offset, const void *from, size_t size);

/* Erases one page, 0 to HAL_FLASH_PAGES - 1. False if there is no such page, or the part failed. */
bool hal_flash_erase(uint32_t page);

/* Milliseconds since boot; never goes back, wraps after 49.7 days. */
uint32_t hal_millis(void);

/* Fills to from the board's random source, fit for keys and nonces. */
void hal_random(void *to, size_t size);

/* Sends one datagram of 1 to HAL_PEER_MAX bytes to whoever is near. It may be lost; a longer one is. */
void hal_peer_send(const uint8_t *datagram, size_t size);

/* Takes the next datagram from the peer link and returns its size, 0 = none is there. One longer than max is dropped.
   *rssi_dbm is its strength, 0 = not measured. A board whose link is a stream of bytes passes over at most HAL_PEER_NOISE
   of them at a time, so that noise without end holds up nothing. */
size_t hal_peer_receive(uint8_t *to, size_t max, int8_t *rssi_dbm);

/* Whether another pin is close enough for a tap (its field is detected). */
bool hal_peer_near(void);

/* Takes up to max bytes from the phone link and returns how many. */
size_t hal_phone_read(uint8_t *to, size_t max);

/* Gives bytes to the phone link and returns how many it took. */
size_t hal_phone_write(const uint8_t *from, size_t size);

/* Takes the accelerometer's next sample: x, y, z in thousandths of g, and when it was taken, in hal_millis' time.
   False = none is waiting. */
bool hal_accel_read(int16_t mg[3], uint32_t *time_ms);

/* True once for each press of the button. */
bool hal_button_pressed(void);

/* Shows rows full lines of the display from line top. pixels holds rows * HAL_DISPLAY_SIZE values. */
void hal_display_band(uint16_t top, uint16_t rows, const uint16_t *pixels);

/* True once after the display has lost its picture and everything must be drawn again. */
bool hal_display_lost(void);

/* Says one line to a developer. Never a secret. */
void hal_log(const char *text);

/* Sleeps until something may have happened, at most about ms milliseconds. */
void hal_idle(uint32_t ms);

#endif
