import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, beforeEach, expect, type MockInstance, test, vi } from 'vitest'
import { settled, world } from './world.js'

let warn: MockInstance<(warning: string | Error, options?: { code?: string }) => void>
beforeEach(() => {
  warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
})
afterEach(() => warn.mockRestore())

/** A store neither of whose tiers can be reached, after some calls of it. */
const metFaults = async (listen: (store: ReturnType<ReturnType<typeof world>['process']>) => void = () => {}) => {
  const { cache, backend, process } = world()
  const store = process()
  listen(store)
  cache.unreachable = true
  backend.unreachable = true
  for (let n = 0; n < 3; n += 1) await store.load('a secret id').catch(() => {})
  await settled()
  return store
}
const codes = (): unknown[] => warn.mock.calls.map(([, options]) => options?.code)

test('where nobody listens, the first fault of each tier is a warning of the process, and names the tier', async () => {
  const { cache, backend, process } = world()
  const store = process()
  cache.unreachable = true
  for (let n = 0; n < 3; n += 1) await store.load('a secret id')
  expect(codes()).toEqual(['NONSTICK_FAULT'])
  backend.unreachable = true
  for (let n = 0; n < 3; n += 1) await store.load('a secret id').catch(() => {})
  await settled()
  expect(store.stats().faults).toBeGreaterThan(2)
  const texts = warn.mock.calls.map(([text]) => String(text))
  expect(texts.every((text) => /could not be asked to .* stats\(\)/.test(text) && !text.includes('secret'))).toBe(true)
})

test('each store warns for itself', async () => {
  await metFaults()
  const once = codes().length
  await metFaults()
  expect(codes()).toHaveLength(2 * once)
})

test('where somebody listens, to the event or to the channel, there is no warning', async () => {
  const heard: unknown[] = []
  await metFaults((store) => store.on('fault', (event) => heard.push(event)))
  const onMessage = (message: unknown): number => heard.push(message)
  subscribe('nonstick:fault', onMessage)
  try {
    await metFaults()
  } finally {
    unsubscribe('nonstick:fault', onMessage)
  }
  expect(heard.length).toBeGreaterThan(2)
  expect(codes()).toEqual([])
})

test('a listener that has stopped listening is none', async () => {
  await metFaults((store) => store.on('fault', () => {})())
  expect(codes()).toContain('NONSTICK_FAULT')
})

test('work that was abandoned is a warning too, unless somebody listens', async () => {
  for (const isHeard of [true, false]) {
    const { backend, process } = world()
    const store = process({ onBackendDown: 'serve' })
    store.on('fault', () => {})
    if (isHeard) store.on('abandoned', () => {})
    const session = await store.create({ n: 0 })
    await settled()
    backend.unreachable = true
    session.data['n'] = 1
    await store.save(session)
    expect((await store.close({ deadlineMs: 0 })).left).toBe(1)
    expect(codes()).toEqual(isHeard ? [] : ['NONSTICK_ABANDONED'])
  }
})
