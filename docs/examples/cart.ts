import express from 'express'
import session from 'express-session'
import { NonstickStore } from 'nonstick/express'

declare module 'express-session' {
  interface SessionData {
    cart?: string[]
    visits?: number
  }
}

const store = new NonstickStore({
  // cache: memcached({ … }), backend: postgres({ … }),
  conflict: { keys: { cart: 'append', visits: 'sum' } },
})
const secret = process.env['SESSION_SECRET']
if (!secret) throw new Error('Set SESSION_SECRET to a long random text: openssl rand -base64 32')

const app = express()
app.use(session({ store, secret, resave: false, saveUninitialized: false }))
app.post('/cart/:item', (req, res) => {
  req.session.cart = [...(req.session.cart ?? []), req.params.item]
  req.session.visits = (req.session.visits ?? 0) + 1
  res.json(req.session.cart) // what this request knows; a parallel one may have added more
})

// Where the answer must not show less than what is stored, or something is taken out: one change at a time.
app.delete('/cart/:item', async (req, res) => {
  const changed = await store.sessions.update(req.sessionID, (data) => {
    data.cart = data.cart?.filter((item) => item !== req.params.item) ?? []
  })
  res.json(changed?.data.cart ?? [])
})
app.listen(3000)
