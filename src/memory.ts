/** The embedded tiers, for tests and for programs of one process: nothing in them survives a restart. */
export { type MemoryBackendOptions, memoryBackend } from './backends/memory/index.js'
export { type MemoryCache, type MemoryCacheOptions, memoryCache } from './caches/memory/index.js'
