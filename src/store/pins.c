/* SPDX-License-Identifier: Apache-2.0
 * Small open-addressing table of pinned extents; deletion moves later entries of the probe run
 * back, so there are no tombstones. Owner: the controller. */
#include "bb/pins.h"

#include "bb/bits.h"
#include "bb/err.h"

int bb_pins_init(struct bb_pins *pins, struct bb_arena *arena, uint32_t max)
{
    BB_ASSERT(max > 0);
    uint32_t slots = (uint32_t)1 << bb_log2_ceil((uint64_t)max * 2);
    *pins = (struct bb_pins){.mask = slots - 1};
    pins->slots = bb_arena_alloc(arena, (size_t)slots * sizeof(struct bb_pin), 64);
    return pins->slots == NULL ? BB_ERR_MEMORY : 0;
}

static uint32_t home(const struct bb_pins *pins, uint64_t unit)
{
    return (uint32_t)((unit * 0x9e3779b97f4a7c15ull) >> 32) & pins->mask; /* Fibonacci hashing */
}

/* The slot of `unit`, or the empty slot where it would go. */
static struct bb_pin *find(const struct bb_pins *pins, uint64_t unit)
{
    BB_ASSERT(unit != 0);
    uint32_t index = home(pins, unit);
    while (pins->slots[index].unit != 0 && pins->slots[index].unit != unit) {
        index = (index + 1) & pins->mask;
    }
    return &pins->slots[index];
}

void bb_pins_add(struct bb_pins *pins, uint64_t unit)
{
    struct bb_pin *pin = find(pins, unit);
    if (pin->unit == 0) {
        BB_ASSERT(pins->used < pins->mask);
        *pin = (struct bb_pin){.unit = unit};
        pins->used++;
    }
    BB_ASSERT(pin->free_units == 0); /* a deleted block cannot be looked up */
    pin->count++;
}

static void erase(struct bb_pins *pins, struct bb_pin *pin)
{
    uint32_t hole = (uint32_t)(pin - pins->slots);
    for (uint32_t index = (hole + 1) & pins->mask; pins->slots[index].unit != 0;
         index = (index + 1) & pins->mask) {
        uint32_t want = home(pins, pins->slots[index].unit);
        if (((index - want) & pins->mask) >= ((index - hole) & pins->mask)) {
            pins->slots[hole] = pins->slots[index];
            hole = index;
        }
    }
    pins->slots[hole] = (struct bb_pin){0};
    pins->used--;
}

uint32_t bb_pins_remove(struct bb_pins *pins, uint64_t unit)
{
    struct bb_pin *pin = find(pins, unit);
    BB_ASSERT(pin->unit == unit);
    BB_ASSERT(pin->count > 0);
    if (--pin->count > 0) {
        return 0;
    }
    uint32_t units = pin->free_units;
    erase(pins, pin);
    return units;
}

bool bb_pins_defer_free(struct bb_pins *pins, uint64_t unit, uint32_t units)
{
    BB_ASSERT(units > 0);
    struct bb_pin *pin = find(pins, unit);
    if (pin->unit == 0) {
        return false;
    }
    BB_ASSERT(pin->free_units == 0);
    pin->free_units = units;
    return true;
}
