import { defineMiddleware } from 'astro:middleware'
import { web } from './lib/sessions'

export const onRequest = defineMiddleware(({ request, locals, isPrerendered }, next) => {
  // What is rendered when the site is built has no visitor.
  if (isPrerendered) return next()
  return web.withSession(request, (session) => {
    locals.session = session
    return next()
  })
})
