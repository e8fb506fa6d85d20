# SPDX-License-Identifier: Apache-2.0
"""An oracle for stores whose daemon or disk dies under load.

It lives in the process of the test: before a request is sent it notes the intent, after the reply the
outcome.  What was in flight when the daemon went may have happened or not; everything else is known
exactly, and what was once observed stays.
"""
import random
import threading

from bbstore import BLOCK_MAX, MIB, expect, hash_of

LIVE_MAX = 90  # blocks of a client: all of them are read back after every kill
PRESENT, ABSENT, UNKNOWN = "present", "absent", "unknown"


POOL = random.Random(1).randbytes(2 * MIB)  # bodies are pieces of it with a number in front


class Block:
    """What the oracle knows of one block; the body is made again when it is needed."""

    def __init__(self, number, size, offset):
        self.number, self.size, self.offset = number, size, offset
        body = self.body()
        self.name, self.state = hash_of(body), ABSENT

    def body(self):
        number = self.number.encode()
        return number + POOL[self.offset:self.offset + self.size - len(number)]


class Worker:
    """One client with blocks of its own, so that the outcome of each operation is determined.

    dying: statuses that say nothing, as 503 does, while load runs: of a daemon whose disk has gone."""

    def __init__(self, store, number, seed, dying=()):
        self.store, self.number, self.random = store, number, random.Random(f"{seed}-{number}")
        self.blocks, self.made, self.done, self.faults = [], 0, 0, []
        self.dying, self.excused = dying, (503,)
        if number < 3:  # the smallest blocks exist once, so each has one owner
            self.blocks.append(Block("x" * number, number, 0))

    def new_block(self):
        pick = self.random.random()
        size = (self.random.choice([4095, 4096, 4097, BLOCK_MAX - 1, BLOCK_MAX])
                if pick < 0.05 else
                self.random.randint(0, 8192) if pick < 0.65 else
                self.random.randint(0, 131072) if pick < 0.93 else
                self.random.randint(0, BLOCK_MAX))
        self.made += 1
        number = f"{self.number}-{self.made}-"
        block = Block(number, max(size, len(number)), self.random.randrange(MIB))
        self.blocks.append(block)
        return block

    def put(self, client, block):
        named = self.random.random() < 0.5
        self.change(block, {201: ABSENT, 200: PRESENT}, PRESENT, f"PUT of {block.size} bytes",
                    lambda: client.put(block.body(), block.name if named else None))

    def delete(self, client, block):
        self.change(block, {204: PRESENT, 404: ABSENT}, ABSENT, "DELETE",
                    lambda: client.delete(block.name))

    def change(self, block, said, after, what, ask):
        """Asks for a change that leaves the block in the state `after`; said: which status tells that it
        was in which state."""
        before, block.state = block.state, UNKNOWN
        reply = ask()
        if reply.status in said:
            block.state = after
            if before not in (UNKNOWN, said[reply.status]):
                self.faults.append(f"{what} of {block.name} says {reply.status}, it was {before}")
        elif reply.status not in self.excused:
            self.faults.append(f"{what} says {reply.status}: {reply.body!r}")

    def get(self, client, block):
        reply = client.get(block.name)
        if reply.status in self.excused:
            return
        stored = {200: PRESENT, 404: ABSENT}.get(reply.status)
        if stored is None or block.state not in (UNKNOWN, stored):
            self.faults.append(f"GET of {block.name} says {reply.status}, it is {block.state}")
        elif stored == PRESENT and hash_of(reply.body) != block.name:
            self.faults.append(f"GET of {block.name} gives other bytes")
        else:
            block.state = stored

    def load(self):
        """Until the server is gone."""
        self.excused = (503, *self.dying)
        try:
            with self.store.client() as client:
                while not self.faults:
                    self.step(client)
                    self.done += 1
        except OSError:
            pass
        finally:
            self.excused = (503,)

    def step(self, client):
        live = [block for block in self.blocks if block.state == PRESENT]
        gone = [block for block in self.blocks if block.state == ABSENT]
        pick = self.random.random()
        if not live or (pick < 0.5 and len(live) < LIVE_MAX):
            self.put(client, self.new_block())
        elif pick < 0.58 and gone:
            self.put(client, self.random.choice(gone))
        elif pick < 0.63:
            self.put(client, self.random.choice(live))
        elif pick < 0.75:
            self.get(client, self.random.choice(self.blocks))
        else:
            self.delete(client, self.random.choice(live))
        if len(gone) > 60 and gone[3].state == ABSENT:  # forgets an old one, read as deleted
            self.blocks.remove(gone[3])

    def verify(self):
        """Every block of this client, byte for byte; what was unknown is known then."""
        with self.store.client() as client:
            for block in self.blocks:
                self.get(client, block)


def in_threads(functions):
    threads = [threading.Thread(target=function, daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    return threads


def join(threads):
    for thread in threads:
        thread.join(300)
        expect(not thread.is_alive(), "a client hangs")


def faults_of(workers):
    return [fault for worker in workers for fault in worker.faults]


def verify(workers):
    join(in_threads([worker.verify for worker in workers]))
    faults = faults_of(workers)
    expect(not faults, f"{len(faults)} faults, the first: {faults[:5]}")


def canary(workers):
    """The verification has to find each lie that the oracle is told."""
    for truth, lie in ((PRESENT, ABSENT), (ABSENT, PRESENT)):
        worker, block = next((worker, block) for worker in workers for block in worker.blocks
                             if block.state == truth)
        block.state = lie
        worker.verify()
        expect(len(worker.faults) == 1, f"the lie {lie} about a block was not seen")
        worker.faults.clear()
        block.state = truth
