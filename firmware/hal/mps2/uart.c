#include "uart.h"

#include "cortex.h"

struct registers {
	volatile uint32_t data, state, control, interrupt, divider;
};

#define STATE_TX_FULL 1u
#define STATE_RX_FULL 2u
#define CONTROL_TX 1u
#define CONTROL_RX 2u
#define CONTROL_RX_INTERRUPT 8u
#define INTERRUPT_RX 2u

#define RING 512u /* a power of two */

struct ring {
	uint8_t bytes[RING];
	volatile uint32_t in, out; /* running counts */
};

static const struct {
	uint32_t address;
	uint8_t receive_irq;
} places[UARTS] = {{0x40004000u, 0}, {0x40005000u, 2}, {0x40006000u, 4}, {0x40007000u, 18}, {0x40009000u, 20}};

static struct ring rings[UARTS];

static struct registers *registers(enum uart u) {
	return (struct registers *)places[u].address;
}

void uart_open(void) {
	for (enum uart u = 0; u < UARTS; u++) {
		struct registers *r = registers(u);
		r->divider = 16;
		r->control = CONTROL_TX | CONTROL_RX | CONTROL_RX_INTERRUPT;
		cortex_enable_irq(places[u].receive_irq);
	}
}

/* drain moves what is there into the ring, as far as it has room. Interrupts are off. */
static void drain(enum uart u) {
	struct registers *r = registers(u);
	struct ring *ring = &rings[u];
	while ((r->state & STATE_RX_FULL) != 0 && ring->in - ring->out < RING) {
		ring->bytes[ring->in++ % RING] = (uint8_t)r->data;
	}
}

void uart_interrupt(enum uart u) {
	/* First acknowledge, then drain: a byte that comes between the two raises the interrupt again. The other way round it
	   would be acknowledged unseen, and the UART deaf for ever. */
	registers(u)->interrupt = INTERRUPT_RX;
	drain(u);
}

size_t uart_read(enum uart u, uint8_t *to, size_t max) {
	struct ring *ring = &rings[u];
	size_t n = 0;
	while (n < max && ring->in != ring->out) {
		to[n++] = ring->bytes[ring->out % RING];
		ring->out++;
	}
	uint32_t mask = cortex_mask_irqs();
	drain(u); /* what found the ring full */
	cortex_restore_irqs(mask);
	return n;
}

size_t uart_write(enum uart u, const uint8_t *from, size_t size) {
	struct registers *r = registers(u);
	size_t n = 0;
	while (n < size && (r->state & STATE_TX_FULL) == 0) {
		r->data = from[n++];
	}
	return n;
}

bool uart_ready(enum uart u) {
	return rings[u].in != rings[u].out;
}
