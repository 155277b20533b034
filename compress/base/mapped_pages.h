// What the system holds in memory of mapped files.
#pragma once

namespace attar {

/// Lets go of the pages of all mapped files that have been read so far, which are read again when
/// they are needed: a program that takes a large file block by block holds a block.
void release_mapped_pages();

}  // namespace attar
