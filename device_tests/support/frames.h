/* What a program for the boards of device_tests defines.
 *
 * A board writes a frame to frame_in, calls frame_run and reads its answer from frame_out.
 */
#ifndef FRAMES_H
#define FRAMES_H

#include <stdint.h>

extern uint8_t frame_in[], frame_out[];
extern const uint32_t frame_in_size, frame_out_size;

void frame_run(void);

/* Defines the buffers of a program: two structs or arrays. */
#define FRAMES(in_type, out_type)                                      \
    uint8_t frame_in[sizeof(in_type)] __attribute__((aligned(8)));     \
    uint8_t frame_out[sizeof(out_type)] __attribute__((aligned(8)));   \
    const uint32_t frame_in_size = sizeof(in_type), frame_out_size = sizeof(out_type);

#endif
