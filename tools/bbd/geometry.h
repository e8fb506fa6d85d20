/* SPDX-License-Identifier: Apache-2.0
 * What the superblock says of the store's size, asked before anything else runs. Owner: the main
 * thread.
 */
#ifndef BBD_GEOMETRY_H
#define BBD_GEOMETRY_H

#include <stddef.h>

#include "bb/device.h"

/* Bytes that the map of free space takes: for the zones that the superblock says, or those of a new
 * store of this size. A device that does not answer within a second is not waited for, as requests
 * have to be answered meanwhile: then there is room for as many zones as a store of this size can
 * have. The start reads the superblock again, and checks it. To be called once; the device must
 * stay open. */
size_t bbd_buddy_memory(const struct bb_device *data);

#endif
