import express, { type NextFunction, type Request, type Response } from 'express'
import session from 'express-session'
import { NonstickStore } from '../../../src/adapters/express.js'
import type { App, AppOptions, Framework, RequestSession, Routes } from '../framework.js'
import { served } from './served.js'

export const sessionOf = (req: Request): RequestSession => {
  const bag = (): Record<string, unknown> => req.session as unknown as Record<string, unknown>
  const done = (call: (callback: (error: unknown) => void) => unknown): Promise<void> =>
    new Promise((resolve, reject) => void call((error) => (error ? reject(error) : resolve())))
  return {
    data: () => {
      const { cookie: _, ...data } = bag()
      return data
    },
    set: (key, value) => {
      bag()[key] = value
    },
    delete: (key) => {
      delete bag()[key]
    },
    regenerate: async () => await done((callback) => req.session.regenerate(callback)),
    destroy: async () => await done((callback) => req.session.destroy(callback)),
  }
}

/** An application with these routes, in the express that is given. */
export const startExpress = async (
  framework: typeof express,
  routes: Routes,
  { sessions, secrets, maxAgeMs, rolling = false }: AppOptions,
): Promise<App> => {
  const app = framework()
  app.use(framework.json({ limit: '1mb' }))
  app.use(
    session({
      store: new NonstickStore({ sessions }),
      secret: [...secrets],
      resave: false,
      saveUninitialized: false,
      rolling,
      cookie: maxAgeMs === undefined ? {} : { maxAge: maxAgeMs },
    }),
  )
  // express 4 does not look at what a handler promises.
  for (const [name, route] of Object.entries(routes))
    app.post(`/${name}`, (req, res, next) => {
      const answer = async (): Promise<void> => {
        res.json(await route(sessionOf(req), req.body as Record<string, unknown>))
      }
      answer().catch(next)
    })
  app.use((error: { readonly code?: string }, _req: Request, res: Response, next: NextFunction) => {
    if (res.headersSent) return next(error)
    res.status(500).json({ code: error.code ?? String(error) })
  })
  return await served(app.listen(0, '127.0.0.1'))
}

export const express5: Framework = {
  name: 'express 5',
  subpath: 'nonstick/express',
  packages: ['express', 'express-session'],
  limits: {},
  costs: { reading: { cache: 1, backend: 0 }, changing: { cache: 2, backend: 0 } },
  start: async (routes, options) => await startExpress(express, routes, options),
}
