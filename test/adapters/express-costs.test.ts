import { expect, test } from 'vitest'
import { Browser, bag, openCluster } from './express-cluster.js'

/** The rows of the table in docs/frameworks/express.md: what express-session calls, and what the tiers are asked. */
test('each kind of request costs what the documentation says', async () => {
  await using cluster = openCluster()
  const app = await cluster.process((each) => {
    each.get('/read', (req, res) => res.json(Object.keys(bag(req))))
    each.get('/change/:value', (req, res) => {
      bag(req)['value'] = req.params.value
      res.send('changed')
    })
    each.get('/login', (req, res, next) => {
      req.session.regenerate((error) => {
        if (error) return next(error)
        bag(req)['user'] = 'ada'
        req.session.save((failed) => (failed ? next(failed) : res.send('hello')))
      })
    })
    each.get('/logout', (req, res, next) => {
      req.session.destroy((error) => (error ? next(error) : res.send('bye')))
    })
  })
  const browser = new Browser()
  const costs: Record<string, unknown> = {}
  for (const path of ['/read', '/change/1', '/read', '/change/2', '/login', '/change/3', '/logout']) {
    const { cache, backend } = await cluster.callsDuring(() => browser.get(app.url + path))
    costs[`${Object.keys(costs).length} ${path}`] = [app.takeCalls().join(' '), cache.join(' '), backend.join(' ')]
  }
  expect(costs).toEqual({
    '0 /read': ['', '', ''],
    '1 /change/1': ['set', 'add cas', 'insert'],
    '2 /read': ['get touch', 'get', ''],
    '3 /change/2': ['get set', 'get cas', ''],
    '4 /login': ['get destroy set set', 'get get set set add cas', 'destroy insert'],
    '5 /change/3': ['get set', 'get cas', ''],
    '6 /logout': ['get destroy', 'get get set set', 'destroy'],
  })
})
