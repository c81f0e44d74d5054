import { expect, test } from 'vitest'
import { type MemoryBackendOptions, memoryBackend } from '../../../src/backends/memory/index.js'
import { systemRuntime } from '../../../src/runtime.js'
import { sampleLocator, storedSession } from '../../../src/testing/stored-session.js'

test('the time bound of an insert goes by the given clock, and its last moment counts', async () => {
  let now = 1_000
  const backend = memoryBackend({ runtime: { ...systemRuntime, now: () => now } })
  const session = storedSession({ createdAt: 500 })
  expect((await backend.insert(sampleLocator(), session, { notAfter: 1_000 })).outcome).toBe('inserted')
  now = 1_001
  expect((await backend.insert(sampleLocator(), session, { notAfter: 1_000 })).outcome).toBe('too-late')
})

test('an option that does not exist is refused by name', () => {
  expect(() => memoryBackend({ size: 3 } as unknown as MemoryBackendOptions)).toThrow(
    expect.objectContaining({ code: 'E_CONFIG', message: expect.stringContaining('`size`') }),
  )
})
