/* What the drivers use of the Cortex-M core itself (ARMv7-M, DDI 0403). */
#ifndef PINFOLD_HAL_MPS2_CORTEX_H
#define PINFOLD_HAL_MPS2_CORTEX_H

#include <stdint.h>

/* Lets an external interrupt, 0 to 31, through. */
static inline void cortex_enable_irq(uint32_t irq) {
	*(volatile uint32_t *)0xE000E100u = 1u << irq;
}

/* Turns interrupts off and returns what cortex_restore_irqs needs. */
static inline uint32_t cortex_mask_irqs(void) {
	uint32_t mask;
	__asm volatile("mrs %0, primask\n\tcpsid i" : "=r"(mask)::"memory");
	return mask;
}

static inline void cortex_restore_irqs(uint32_t mask) {
	__asm volatile("msr primask, %0" ::"r"(mask) : "memory");
}

/* Sleeps until an interrupt is pending, also while they are off. */
static inline void cortex_sleep(void) {
	__asm volatile("dsb\n\twfi" ::: "memory");
}

/* Raises the system tick each `cycles` clock cycles, at most 2^24. */
static inline void cortex_tick(uint32_t cycles) {
	*(volatile uint32_t *)0xE000E014u = cycles - 1;
	*(volatile uint32_t *)0xE000E018u = 0;
	*(volatile uint32_t *)0xE000E010u = 7; /* on, interrupt, the core's clock */
}

#endif
