/* SPDX-License-Identifier: Apache-2.0
 * GPT partition types of Buddy Blocks. udev knows a half of a store by them (udev/ has the rule),
 * and tools that show partition tables show that it is no filesystem. Made once, at random; they
 * never change.
 */
#ifndef BB_PARTITION_H
#define BB_PARTITION_H

#define BB_PARTITION_TYPE_DATA "072b075d-44f2-4b4c-b0f0-ec2b818be12c"
#define BB_PARTITION_TYPE_INDEX "15541ea5-500f-4b64-9886-a6cc3452ca7e"

#endif
