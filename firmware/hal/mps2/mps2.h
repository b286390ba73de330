/* QEMU's mps2-an386 as a pin. The addresses are those of ARM's application note AN386.

   UARTs: 0 phone (frames of ToPin and FromPin), 1 peer (frames, each one datagram), 2 display (mirror.h), 3 sensors
   (inject.h), 4 log (lines of text).

   The board has no flash and no random source, so the one who starts QEMU provides them in PSRAM with -device loader, and
   saves the flash with QMP's pmemsave before QEMU ends:

       0x21000000   128 KiB  the flash; a new one is all 0xFF
       0x21020000   32 bytes the seed of the random source, fresh for each boot. This is not a true random source: it is
                             as good as what the starter put there. At once it is overwritten by one that follows from it.
       0x21020020   4 bytes  0x50464331 (little-endian) while the firmware runs: it has taken flash and seed
       0x21030000   112.5 KiB the memory of the display itself, 240 lines of 240 RGB565, as a display controller has it

   QEMU fills this memory again at each reset of the machine, which would set the store back in time: never reset it, end
   it and start it anew from what was saved. */
#ifndef PINFOLD_HAL_MPS2_H
#define PINFOLD_HAL_MPS2_H

#include <stdint.h>

#include "inject.h"

#define MPS2_FLASH 0x21000000u
#define MPS2_SEED 0x21020000u
#define MPS2_SEED_SIZE 32u
#define MPS2_RUNNING 0x21020020u
#define MPS2_RUNNING_WORD 0x50464331u
#define MPS2_DISPLAY 0x21030000u
#define MPS2_CLOCK_HZ 25000000u

/* Starts the drivers. Halts, with a word in the log, if there is no seed. */
void mps2_open(void);

/* Answers who looks. */
void mps2_seen(const struct inject_seen *seen);

/* Says why in the log and halts for ever. */
_Noreturn void mps2_halt(const char *why);

/* The most bytes of the stack that were ever in use, and how many there are. */
uint32_t mps2_stack_used(void);
uint32_t mps2_stack_size(void);

#endif
