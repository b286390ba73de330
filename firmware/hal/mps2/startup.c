/* From reset to main, and what interrupts and faults lead to. */
#include <stdint.h>
#include <stdlib.h>

#include "mps2.h"
#include "uart.h"

extern uint32_t stack_bottom[], stack_top[], data_begin[], data_end[], data_load[], bss_begin[], bss_end[];

int main(void);
void reset(void);

#define PAINT 0xA5A5A5A5u

/* Not inlined anywhere and without a frame of its own: the stack is not painted yet. */
__attribute__((naked)) void reset(void) {
	__asm volatile("ldr r0, =stack_bottom\n\t"
				   "ldr r1, =stack_top\n\t"
				   "ldr r2, =0xA5A5A5A5\n"
				   "1:\n\t"
				   "cmp r0, r1\n\t"
				   "bhs 2f\n\t"
				   "str r2, [r0], #4\n\t"
				   "b 1b\n"
				   "2:\n\t"
				   "b start\n\t"
				   ".ltorg");
}

__attribute__((used)) static void start(void) {
	const uint32_t *from = data_load;
	for (uint32_t *to = data_begin; to < data_end;) {
		*to++ = *from++;
	}
	for (uint32_t *to = bss_begin; to < bss_end;) {
		*to++ = 0;
	}
	main();
	mps2_halt("main returned");
}

uint32_t mps2_stack_size(void) {
	return (uint32_t)(stack_top - stack_bottom) * (uint32_t)sizeof *stack_top;
}

uint32_t mps2_stack_used(void) {
	const uint32_t *p = stack_bottom;
	while (p < stack_top && *p == PAINT) {
		p++;
	}
	return (uint32_t)(stack_top - p) * (uint32_t)sizeof *stack_top;
}

_Noreturn void abort(void) {
	mps2_halt("abort");
}

/* fault says where the program was: r0 is the stack pointer with the frame that the core has pushed, if it could. */
__attribute__((used)) static _Noreturn void fault(const uint32_t *frame) {
	static char text[] = "fault at 00000000";
	if (frame < stack_bottom || frame + 8 > stack_top) {
		/* The handler itself needs a stack. */
		__asm volatile("msr msp, %0" ::"r"(stack_top));
		mps2_halt("fault: stack overflow");
	}
	uint32_t pc = frame[6];
	for (int i = 0; i < 8; i++) {
		text[16 - i] = "0123456789abcdef"[pc >> (4 * i) & 15];
	}
	mps2_halt(text);
}

__attribute__((naked)) static void fault_handler(void) {
	__asm volatile("mrs r0, msp\n\t"
				   "ldr r1, =stack_bottom + 512\n\t"
				   "cmp r0, r1\n\t"
				   "itt lo\n\t"
				   "ldrlo r1, =stack_top\n\t"
				   "msrlo msp, r1\n\t"
				   "b fault\n\t"
				   ".ltorg");
}

static void tick_handler(void) {
}

static void phone_handler(void) {
	uart_interrupt(UART_PHONE);
}

static void peer_handler(void) {
	uart_interrupt(UART_PEER);
}

static void display_handler(void) {
	uart_interrupt(UART_DISPLAY);
}

static void sensors_handler(void) {
	uart_interrupt(UART_SENSORS);
}

static void log_handler(void) {
	uart_interrupt(UART_LOG);
}

/* ARMv7-M B1.5.3, then the interrupts of AN386. */
__attribute__((section(".vectors"), used)) static const struct {
	uint32_t *stack;
	void (*handlers[47])(void);
} vectors = {
	stack_top,
	{
		[0] = reset,
		[1] = fault_handler, /* NMI */
		[2] = fault_handler,
		[3] = fault_handler,
		[4] = fault_handler,
		[5] = fault_handler,
		[10] = fault_handler, /* SVC */
		[11] = fault_handler,
		[13] = fault_handler, /* PendSV */
		[14] = tick_handler,
		[15 + 0] = phone_handler,
		[15 + 2] = peer_handler,
		[15 + 4] = display_handler,
		[15 + 18] = sensors_handler,
		[15 + 20] = log_handler,
	},
};
