import assert = require('node:assert/strict')
import nonstick = require('nonstick')

const main = async (): Promise<void> => {
  const sessions = nonstick.createSessionStore()
  const created: nonstick.Session<Record<string, unknown>> = await sessions.create({ cart: ['tea'] })
  const found = await sessions.load(created.id)
  assert.deepEqual(found?.data, { cart: ['tea'] })
  await sessions.close()
  assert.equal(typeof require('nonstick').createSessionStore, 'function')
  console.log('commonjs ok')
}

void main()
