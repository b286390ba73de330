/* NOR flash in a file, with a power cut for tests. */
#ifndef PINFOLD_HAL_POSIX_FLASH_H
#define PINFOLD_HAL_POSIX_FLASH_H

#include <stdbool.h>
#include <stdint.h>

/* Opens the flash kept in the file, or in memory only if path is NULL. A file that is not there is made, erased. After
   cut operations (a word written, a page erased; 0 = never) the process ends within the next one with
   POSIX_CUT_STATUS. Says on stderr what is wrong and returns false if it cannot. */
bool flash_open(const char *path, uint32_t cut);

#endif
