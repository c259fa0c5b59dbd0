/* A plugin of QEMU, API version 1 (QEMU 4.2 to 8.2): counts instructions between two marks, which
 * are no-ops in the program. The few prototypes are here because distributions ship no header. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*translated)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*executed)(unsigned, void *);

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, translated);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, executed, int, void *);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *, int, void *, uint64_t);

#define PUBLIC __attribute__((visibility("default")))
PUBLIC int qemu_plugin_version = 1;

static uint64_t count, before;
static FILE *out;

static void from(unsigned core, void *data) {
    (void)core, (void)data;
    before = count;
}

static void to(unsigned core, void *data) {
    (void)core, (void)data;
    fprintf(out, "%llu\n", (unsigned long long)(count - before));
    fflush(out);
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
        const size_t size = qemu_plugin_insn_size(insn);
        uint32_t word = 0;
        memcpy(&word, qemu_plugin_insn_data(insn), size < 4 ? size : 4);
        if ((size == 2 && word == 0xbfd0) || word == 0x07002013)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, from, 0, 0);
        else if ((size == 2 && word == 0xbfe0) || word == 0x07102013)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, to, 0, 0);
        else
            qemu_plugin_register_vcpu_insn_exec_inline(insn, 0, &count, 1);
    }
}

PUBLIC int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "out=", 4))
            out = fopen(argv[i] + 4, "w");
    if (!out)
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    return 0;
}
