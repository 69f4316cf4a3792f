/* A driver library with H100 on an NVSwitch, as far as the real bindings ask it.
   STUB_NVML_GPUS: how many, default two, of which GPU 1 has lost its ECC query.
   STUB_NVML_LOST: the index of one that fell off the bus; where STUB_NVML_LOST_WHEN names a file, once that exists. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct { int index; } Gpu;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } Memory2;
typedef struct { unsigned pid; unsigned long long memory; unsigned instance, compute; } Process;
typedef struct {
    char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32];
} Pci;
typedef union { double d; unsigned ui; unsigned long long ull; } Value;
typedef struct { unsigned id, scope; long long time, latency; int type, status; Value value; } Field;
typedef struct { unsigned gpu, memory; } Utilization;
enum { OK = 0, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7, GPU_IS_LOST = 15, UNKNOWN = 999 };
static Gpu gpus[256];
#define MIB (1024ULL * 1024)

static int number(const char *name, int without) { const char *text = getenv(name); return text ? atoi(text) : without; }
static int is_lost(const Gpu *gpu) {
    const char *when = getenv("STUB_NVML_LOST_WHEN");
    return gpu->index == number("STUB_NVML_LOST", -1) && (!when || access(when, F_OK) == 0);
}
#define UNLESS_LOST(gpu) if (is_lost(gpu)) return GPU_IS_LOST

int nvmlInitWithFlags(unsigned flags) { return OK; }
int nvmlInit_v2(void) { return OK; }
const char *nvmlErrorString(int code) { return "stub error"; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { snprintf(text, size, "570.86.15"); return OK; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 12080; return OK; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = number("STUB_NVML_GPUS", 2); return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Gpu **gpu) {
    gpus[index].index = index; *gpu = &gpus[index]; return OK;
}
int nvmlDeviceGetName(Gpu *gpu, char *text, unsigned size) { UNLESS_LOST(gpu);
    snprintf(text, size, "NVIDIA H100 80GB HBM3"); return OK;
}
int nvmlDeviceGetUUID(Gpu *gpu, char *text, unsigned size) { UNLESS_LOST(gpu);
    snprintf(text, size, "GPU-%df3d0c1e", gpu->index); return OK;
}
int nvmlDeviceGetMemoryInfo_v2(Gpu *gpu, Memory2 *m) { UNLESS_LOST(gpu);
    m->total = 81559 * MIB; m->reserved = 560 * MIB; m->used = 1004 * MIB; m->free = 79995 * MIB; return OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(Gpu *gpu, unsigned *count, Process *list) { UNLESS_LOST(gpu);
    if (!list) { *count = 1; return INSUFFICIENT_SIZE; }
    *count = 1; list[0] = (Process){4194305, 1000 * MIB, ~0u, ~0u}; return OK;
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(Gpu *gpu, unsigned *count, Process *list) { UNLESS_LOST(gpu); *count = 0; return OK; }
int nvmlDeviceGetCudaComputeCapability(Gpu *gpu, int *major, int *minor) { UNLESS_LOST(gpu); *major = 9; *minor = 0; return OK; }
int nvmlDeviceGetPowerManagementLimit(Gpu *gpu, unsigned *milliwatts) { UNLESS_LOST(gpu); *milliwatts = 700000; return OK; }
int nvmlDeviceGetClockInfo(Gpu *gpu, int type, unsigned *clock) { UNLESS_LOST(gpu); *clock = type == 1 ? 345 : 2619; return OK; }
int nvmlDeviceGetCurrentClocksThrottleReasons(Gpu *gpu, unsigned long long *bits) { UNLESS_LOST(gpu); *bits = 0x5; return OK; }
int nvmlDeviceGetEccMode(Gpu *gpu, int *now, int *pending) { UNLESS_LOST(gpu);
    *now = *pending = 1; return gpu->index == 1 && number("STUB_NVML_GPUS", 2) == 2 ? UNKNOWN : OK;
}
int nvmlDeviceGetTotalEccErrors(Gpu *gpu, int kind, int counter, unsigned long long *n) { UNLESS_LOST(gpu); *n = 2; return OK; }
int nvmlDeviceGetMigMode(Gpu *gpu, unsigned *now, unsigned *pending) { UNLESS_LOST(gpu); *now = *pending = 0; return OK; }
int nvmlDeviceGetMaxPcieLinkGeneration(Gpu *gpu, unsigned *generation) { UNLESS_LOST(gpu); *generation = 5; return OK; }
int nvmlDeviceGetPciInfo_v3(Gpu *gpu, Pci *pci) { UNLESS_LOST(gpu);
    memset(pci, 0, sizeof *pci); snprintf(pci->bus_id, 32, "00000000:%02x:00.0", 0x1b + gpu->index); return OK;
}
int nvmlDeviceGetMemoryAffinity(Gpu *gpu, unsigned words, unsigned long *set, int scope) { UNLESS_LOST(gpu); set[0] = 2; return OK; }
int nvmlDeviceGetCpuAffinity(Gpu *gpu, unsigned words, unsigned long *set) { UNLESS_LOST(gpu); set[0] = 0xf0; return OK; }
int nvmlDeviceGetNvLinkState(Gpu *gpu, unsigned link, int *active) { UNLESS_LOST(gpu);
    *active = 1; return link < 18 ? OK : NOT_SUPPORTED;
}
int nvmlDeviceGetNvLinkRemoteDeviceType(Gpu *gpu, unsigned link, int *type) { UNLESS_LOST(gpu); *type = 2; return OK; }
int nvmlDeviceGetFieldValues(Gpu *gpu, int count, Field *fields) { UNLESS_LOST(gpu);
    fields[0].status = OK; fields[0].value.ui = 26562; return OK;
}
int nvmlDeviceGetMemoryInfo(Gpu *gpu, Memory *m) { UNLESS_LOST(gpu);
    m->total = 81559 * MIB; m->used = (60000 + 100 * gpu->index) * MIB; m->free = m->total - m->used; return OK;
}
int nvmlDeviceGetUtilizationRates(Gpu *gpu, Utilization *busy) { UNLESS_LOST(gpu);
    busy->gpu = 90 + gpu->index % 8; busy->memory = 40; return OK;
}
int nvmlDeviceGetPowerUsage(Gpu *gpu, unsigned *milliwatts) { UNLESS_LOST(gpu);
    *milliwatts = 650000 + 1000 * gpu->index; return OK;
}
int nvmlDeviceGetTemperature(Gpu *gpu, int sensor, unsigned *degrees) { UNLESS_LOST(gpu);
    *degrees = 60 + gpu->index % 8; return OK;
}
