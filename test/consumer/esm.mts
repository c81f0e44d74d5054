import assert from 'node:assert/strict'
import { createSessionStore, isSessionStoreError, type Session } from 'nonstick'

interface Visitor {
  cart: string[]
}

const sessions = createSessionStore<Visitor>()
const created: Session<Visitor> = await sessions.create({ cart: ['tea'] })
created.data.cart.push('milk')
await sessions.save(created)

const found = await sessions.load(created.id)
assert.deepEqual(found?.data, { cart: ['tea', 'milk'] })

await sessions.destroy(created.id)
assert.equal(await sessions.load(created.id), undefined)
await assert.rejects(sessions.load(''), (error) => isSessionStoreError(error, 'E_INVALID_ID'))
await sessions.close()
console.log('esm ok')
