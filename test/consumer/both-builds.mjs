// A program in which one library imports nonstick and another one requires it, so that both builds are loaded.
import assert from 'node:assert/strict'
import { subscribe } from 'node:diagnostics_channel'
import { createRequire } from 'node:module'
import * as imported from 'nonstick'
import * as importedExpress from 'nonstick/express'
import * as importedMemory from 'nonstick/memory'

const require = createRequire(import.meta.url)
const required = require('nonstick')
const requiredExpress = require('nonstick/express')
const requiredMemory = require('nonstick/memory')
// Without this, the same build would be compared with itself.
assert.notEqual(imported.createSessionStore, required.createSessionStore)

const heard = []
subscribe('nonstick:write', ({ operation }) => heard.push(operation))

for (const [one, other, otherExpress, otherMemory] of [
  [imported, required, requiredExpress, requiredMemory],
  [required, imported, importedExpress, importedMemory],
]) {
  // The tiers of one build in a store of the other, and that in an adapter of the first.
  const sessions = one.createSessionStore({ cache: otherMemory.memoryCache(), backend: otherMemory.memoryBackend() })
  const store = new otherExpress.NonstickStore({ sessions })
  await store.set('an-id-of-express-session-itself', { cookie: { originalMaxAge: null }, cart: ['tea'] })
  const loaded = await store.get('an-id-of-express-session-itself')
  assert.deepEqual(loaded.cart, ['tea'])

  const error = await sessions.load('').catch((refusal) => refusal)
  assert.ok(other.isSessionStoreError(error, 'E_INVALID_ID'))
  assert.ok(error instanceof other.SessionStoreError)
  assert.ok(!(new Error('no') instanceof other.SessionStoreError))

  // A failing tier's error passes through the other build's store with its code and its cause's tier.
  const failing = otherMemory.memoryBackend()
  failing.read = async () => {
    throw new other.SessionStoreError('E_SESSION_UNAVAILABLE', 'made up', { tier: 'memory', operation: 'read' })
  }
  const without = one.createSessionStore({ cache: otherMemory.memoryCache(), backend: failing })
  const passed = await without.load('x'.repeat(32)).catch((refusal) => refusal)
  assert.ok(one.isSessionStoreError(passed, 'E_SESSION_UNAVAILABLE'))
  await sessions.close()
  await without.close()
}
assert.ok(heard.length >= 2)
console.log('both builds ok')
