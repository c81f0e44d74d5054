// What each test runner and runtime does with the package, handed over as it was loaded there.
const { deepEqual, equal, ok, rejects } = require('node:assert/strict')

exports.useSessions = async ({ createSessionStore, isSessionStoreError }, { memoryBackend, memoryCache }) => {
  const sessions = createSessionStore({ cache: memoryCache(), backend: memoryBackend() })
  const { id } = await sessions.create({ cart: ['tea'] })
  await sessions.update(id, (data) => void data.cart.push('milk'))
  const found = await sessions.load(id)
  deepEqual(Array.from(found.data.cart), ['tea', 'milk'])
  await rejects(sessions.load(''), (error) => isSessionStoreError(error, 'E_INVALID_ID'))
  await sessions.destroy(id)
  equal(await sessions.load(id), undefined)
  const { unflushed } = await sessions.close()
  equal(unflushed ?? 0, 0)
}

exports.useExpress = async ({ NonstickStore }, { memoryBackend, memoryCache }, express, session) => {
  const app = express()
  const store = new NonstickStore({ cache: memoryCache(), backend: memoryBackend() })
  app.use(session({ store, secret: 'for this test', resave: false, saveUninitialized: false }))
  app.get('/', (request, response) => {
    request.session.visits = (request.session.visits ?? 0) + 1
    response.json(request.session.visits)
  })
  const server = app.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const url = `http://127.0.0.1:${server.address().port}/`
  const first = await fetch(url)
  const cookie = first.headers.get('set-cookie').split(';')[0]
  ok(cookie.startsWith('connect.sid='))
  equal(await first.json(), 1)
  equal(await (await fetch(url, { headers: { cookie, connection: 'close' } })).json(), 2)
  server.closeAllConnections?.()
  await new Promise((resolve) => server.close(resolve))
  await store.close()
}

/** The entry points, as a program names them. */
exports.specifiers = (manifest) =>
  Object.keys(manifest.exports)
    .filter((subpath) => !subpath.endsWith('.json'))
    .map((subpath) => subpath.replace('.', 'nonstick'))
