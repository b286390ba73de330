/* The board's CMSDK UARTs (ARM DDI 0479). Received bytes are taken by interrupt into a ring; while that is full the UART is
   left alone, and QEMU holds back the sender. */
#ifndef PINFOLD_HAL_MPS2_UART_H
#define PINFOLD_HAL_MPS2_UART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum uart {
	UART_PHONE,
	UART_PEER,
	UART_DISPLAY,
	UART_SENSORS,
	UART_LOG,
	UARTS,
};

/* Starts all UARTs. */
void uart_open(void);

/* Takes up to max received bytes and returns how many. */
size_t uart_read(enum uart u, uint8_t *to, size_t max);

/* Sends what the UART takes at once and returns how many bytes that were. */
size_t uart_write(enum uart u, const uint8_t *from, size_t size);

/* Whether uart_read has something. Call with interrupts off to sleep without missing any. */
bool uart_ready(enum uart u);

/* Takes what a UART received: its interrupt. */
void uart_interrupt(enum uart u);

#endif
