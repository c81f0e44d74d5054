// Loads the package as Jest does: each module in a `vm` context, whose `Error`, `Map` and `Object` are not Node's own.
const { deepEqual, equal, notEqual, ok } = require('node:assert/strict')
const { readFileSync } = require('node:fs')
const { createRequire, isBuiltin } = require('node:module')
const { dirname } = require('node:path')
const vm = require('node:vm')

// As in Jest's environment: what a context lacks comes from Node, and so do these two, since Buffer is made of them.
const context = vm.createContext({})
const ofItsOwn = new Set(vm.runInContext('Object.getOwnPropertyNames(globalThis)', context))
for (const name of [
  ...Object.getOwnPropertyNames(globalThis).filter((each) => !ofItsOwn.has(each)),
  'ArrayBuffer',
  'Uint8Array',
])
  if (name !== 'global')
    Object.defineProperty(context, name, { ...Object.getOwnPropertyDescriptor(globalThis, name), configurable: true })
context.global = vm.runInContext('globalThis', context)

const modules = new Map()
const load = (path) => {
  const known = modules.get(path)
  if (known !== undefined) return known.exports
  const module = { exports: {} }
  modules.set(path, module)
  const text = readFileSync(path, 'utf8')
  if (path.endsWith('.json')) {
    module.exports = JSON.parse(text)
    return module.exports
  }
  const names = ['exports', 'require', 'module', '__filename', '__dirname']
  const wrapped = vm.compileFunction(text, names, { filename: path, parsingContext: context })
  const native = createRequire(path)
  const require = (specifier) =>
    isBuiltin(specifier) || specifier.endsWith('.node') ? native(specifier) : load(native.resolve(specifier))
  require.resolve = native.resolve
  wrapped.call(module.exports, module.exports, require, module, path, dirname(path))
  return module.exports
}
const here = createRequire(__filename)
const inside = (specifier) => load(here.resolve(specifier))

const main = async () => {
  const { createSessionStore, isSessionStoreError } = inside('nonstick')
  const { memcached } = inside('nonstick/memcached')
  const { memoryBackend, memoryCache } = inside('nonstick/memory')
  const specifiers = Object.keys(inside('nonstick/package.json').exports)
  for (const specifier of specifiers) ok(Object.keys(inside(specifier.replace('.', 'nonstick'))).length > 0, specifier)

  const make = vm.runInContext(
    `() => ({ at: new Date(0), cart: new Map([['tea', 1n]]), seen: new Set([1]), error: new TypeError('no'), list: [{}] })`,
    context,
  )
  const data = make()
  // Without this, there would be one realm only.
  notEqual(Object.getPrototypeOf(data), Object.prototype)
  const sessions = createSessionStore({ cache: memoryCache(), backend: memoryBackend() })
  data.bytes = Buffer.from('tea')
  const { id } = await sessions.create(data)
  await sessions.update(id, ({ cart }) => void cart.set('milk', 2n))
  const found = await sessions.load(id)
  const { Map: InsideMap, Date: InsideDate } = vm.runInContext('({ Map, Date })', context)
  ok(found.data.cart instanceof InsideMap && found.data.at instanceof InsideDate)
  equal(found.data.cart.get('milk'), 2n)
  equal(found.data.error.message, 'no')
  deepEqual([...found.data.bytes], [...Buffer.from('tea')])
  await sessions.close()

  // The error of a socket is one of Node's own realm.
  const alone = createSessionStore({ cache: memcached({ servers: '127.0.0.1:1' }), backend: memoryBackend() })
  const faults = []
  alone.on('fault', ({ error }) => faults.push(error))
  await alone.load('x'.repeat(32))
  await alone.close()
  deepEqual(
    faults.map((error) => isSessionStoreError(error, 'E_SESSION_UNAVAILABLE') && error.message),
    ['memcached 127.0.0.1:1 could not be asked to get: ECONNREFUSED'],
  )
  console.log('other realm ok')
}

void main()
