/** The embedded tiers, for tests and for programs of one process: nothing in them survives a restart. */
export { memoryBackend } from './backends/memory/index.js'
export { memoryCache } from './caches/memory/index.js'
