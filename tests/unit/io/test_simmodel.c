/* SPDX-License-Identifier: Apache-2.0
 * The simulated device in random runs against a naive model of one byte per sector. BB_SEED repeats
 * a random run.
 */
#include "jobs.h"

/* ---- Random runs against a naive model ---- */

#define MODEL_UNITS 12u
#define MODEL_SECTORS (MODEL_UNITS * 8)
#define MODEL_VERSIONS 64u

/* Per sector: every value that a cut may leave, oldest first; [0] is durable. */
struct model {
    uint8_t values[MODEL_SECTORS][MODEL_VERSIONS];
    uint64_t order[MODEL_SECTORS][MODEL_VERSIONS]; /* of completion; 0 durable, ~0 in flight */
    unsigned count[MODEL_SECTORS];
    uint64_t completions;
};

struct actor {
    struct bb_sim *sim;
    struct model *model;
    struct job jobs[6];
    bool busy[6];
    uint64_t covers[6];
    uint8_t next_value;
    bool believe_flush; /* canary: takes a failed flush for a good one */
};

static void model_begin(struct model *model, uint64_t sector, uint8_t value)
{
    assert_true(model->count[sector] < MODEL_VERSIONS);
    model->values[sector][model->count[sector]] = value;
    model->order[sector][model->count[sector]++] = UINT64_MAX;
}

static void model_flushed(struct model *model, uint64_t covers)
{
    for (unsigned s = 0; s < MODEL_SECTORS; s++) {
        unsigned keep = 0;
        for (unsigned v = 0; v < model->count[s]; v++)
            if (model->order[s][v] <= covers)
                keep = v;
        model->count[s] -= keep;
        memmove(model->values[s], model->values[s] + keep, model->count[s]);
        memmove(model->order[s], model->order[s] + keep,
                model->count[s] * sizeof(model->order[s][0]));
    }
}

static bool model_allows(const struct model *model, struct bb_sim *sim)
{
    for (unsigned s = 0; s < MODEL_SECTORS; s++) {
        uint8_t bytes[SECTOR];
        bool found = false;
        bb_sim_peek(sim, (uint64_t)s * SECTOR, bytes, sizeof(bytes));
        for (unsigned v = 0; v < model->count[s]; v++)
            found |= model->values[s][v] == bytes[0];
        for (unsigned i = 1; i < SECTOR; i++)
            found &= bytes[i] == bytes[0];
        if (!found)
            return false;
    }
    return true;
}

/* Takes in what has completed since the last look. In which order it did does not matter: writes in
 * flight together do not overlap, and no flush in flight covers them. */
static void actor_reap(struct actor *actor)
{
    for (unsigned j = 0; j < 6; j++) {
        struct bb_io_request *request = &actor->jobs[j].request;
        if (!actor->busy[j] || !actor->jobs[j].done)
            continue;
        actor->busy[j] = false;
        if (request->op == BB_IO_FLUSH) {
            if (request->result == 0 || actor->believe_flush)
                model_flushed(actor->model, actor->covers[j]);
            continue;
        }
        actor->model->completions++;
        for (uint64_t s = request->offset / SECTOR; s < (request->offset + request->size) / SECTOR;
             s++)
            actor->model->order[s][actor->model->count[s] - 1] = actor->model->completions;
    }
}

static bool actor_overlaps(const struct actor *actor, uint64_t unit, uint32_t units)
{
    for (unsigned j = 0; j < 6; j++) {
        const struct bb_io_request *request = &actor->jobs[j].request;
        if (actor->busy[j] && request->op == BB_IO_WRITE &&
            unit * UNIT < request->offset + request->size &&
            request->offset < (unit + units) * UNIT)
            return true;
    }
    return false;
}

static void actor_step(struct actor *actor, struct bb_random *random)
{
    unsigned j = (unsigned)bb_random_below(random, 6);
    uint64_t draw = bb_random_below(random, 10);
    if (draw < 4) {
        assert_true(bb_io_poll(bb_sim_io(actor->sim), true) >= 0);
        actor_reap(actor);
    } else if (actor->busy[j]) {
        return;
    } else if (draw < 5) {
        actor->busy[j] = true;
        actor->covers[j] = actor->model->completions;
        start_flush(actor->sim, &actor->jobs[j]);
    } else {
        uint32_t units = 1 + (uint32_t)bb_random_below(random, 3);
        uint64_t unit = bb_random_below(random, MODEL_UNITS - units + 1);
        if (actor_overlaps(actor, unit, units))
            return;
        actor->busy[j] = true;
        uint8_t value = ++actor->next_value;
        for (uint64_t s = unit * 8; s < (unit + units) * 8; s++)
            model_begin(actor->model, s, value);
        start_write(actor->sim, &actor->jobs[j], unit, units, value);
    }
}

static struct bb_sim_fault fail_flushes(void *context, const struct bb_io_request *request,
                                        uint64_t number)
{
    (void)context;
    (void)number;
    if (request->op == BB_IO_FLUSH)
        return (struct bb_sim_fault){.kind = BB_SIM_FAIL, .error = -EIO};
    return (struct bb_sim_fault){0};
}

/* One life of at most 40 steps, then several cuts of it. False if an image is not allowed. */
static bool random_life(uint64_t seed, bool canary, struct bb_hash *ret_digest)
{
    struct bb_random random;
    static struct model model;
    struct actor actor = {.sim = open_sim(false, seed), .model = &model, .believe_flush = canary};
    bb_random_seed(&random, seed);
    memset(&model, 0, sizeof(model));
    for (unsigned s = 0; s < MODEL_SECTORS; s++)
        model.count[s] = 1;
    for (unsigned j = 0; j < 6; j++)
        job_init(&actor.jobs[j]);
    if (canary)
        bb_sim_set_fault(actor.sim, fail_flushes, NULL);
    for (uint64_t steps = bb_random_below(&random, 40); steps > 0; steps--)
        actor_step(&actor, &random);

    bool allowed = true;
    for (unsigned i = 0; i < 4; i++) {
        struct bb_sim *image = bb_sim_clone(actor.sim);
        bb_sim_power_cut(image, i == 0 ? bb_sim_choose_none : bb_sim_choose_random, &random);
        allowed &= model_allows(&model, image);
        bb_sim_digest(image, ret_digest);
        bb_sim_close(image);
    }
    bb_sim_power_cut(actor.sim, bb_sim_choose_all, NULL);
    for (unsigned s = 0; s < MODEL_SECTORS; s++)
        allowed &= first_byte(actor.sim, s * SECTOR) == model.values[s][model.count[s] - 1];
    bb_sim_close(actor.sim);
    for (unsigned j = 0; j < 6; j++)
        job_fini(&actor.jobs[j]);
    return allowed;
}

static void every_crash_image_is_one_the_model_allows(void **state)
{
    (void)state;
    uint64_t seed = unit_seed_value();
    struct bb_hash digest;
    for (uint64_t i = 0; i < 2000; i++)
        if (!random_life(seed + i, false, &digest))
            fail_msg("BB_SEED=%llu gives an image the model forbids",
                     (unsigned long long)(seed + i));
}

static void canary_a_flush_believed_but_failed_is_found(void **state)
{
    (void)state;
    struct bb_hash digest;
    unsigned found = 0;
    for (uint64_t seed = 0; seed < 200; seed++)
        found += !random_life(seed, true, &digest);
    assert_true(found > 20);
}

static void same_seed_gives_the_same_bytes(void **state)
{
    (void)state;
    struct bb_hash first, second, other;
    unsigned different = 0;
    for (uint64_t seed = 100; seed < 150; seed++) {
        assert_true(random_life(seed, false, &first));
        assert_true(random_life(seed, false, &second));
        assert_true(bb_hash_equal(&first, &second));
        assert_true(random_life(seed + 1, false, &other));
        different += !bb_hash_equal(&first, &other);
    }
    assert_true(different > 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_crash_image_is_one_the_model_allows),
        cmocka_unit_test(canary_a_flush_believed_but_failed_is_found),
        cmocka_unit_test(same_seed_gives_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
