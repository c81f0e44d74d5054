// A program that imports nonstick while one of its libraries requires it: both have the same.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import * as imported from 'nonstick'
import * as importedExpress from 'nonstick/express'
import * as importedMemory from 'nonstick/memory'

const require = createRequire(import.meta.url)
for (const [specifier, module] of [
  ['nonstick', imported],
  ['nonstick/express', importedExpress],
  ['nonstick/memory', importedMemory],
]) {
  const required = require(specifier)
  assert.deepEqual(Object.keys(module), Object.keys(required).sort())
  assert.ok(Object.keys(module).length > 0)
  for (const name of Object.keys(module)) assert.equal(module[name], required[name], `${name} of ${specifier}`)
}
console.log('both ways ok')
