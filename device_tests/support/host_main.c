/* Frames over standard input and output. */
#include <stdio.h>

#include "frames.h"

int main(void) {
    size_t got;
    while ((got = fread(frame_in, 1, frame_in_size, stdin)) == frame_in_size) {
        frame_run();
        if (fwrite(frame_out, 1, frame_out_size, stdout) != frame_out_size)
            return 1;
    }
    if (got > 0)
        fprintf(stderr, "takes frames of %u bytes", (unsigned)frame_in_size);
    return got > 0;
}
