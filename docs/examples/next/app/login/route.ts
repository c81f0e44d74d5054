import { openSessions } from '../../lib/sessions'

export const POST = async (request: Request) => {
  const { web } = await openSessions()
  return await web.withSession(request, async (session) => {
    const { user } = await request.json() // Check the password here.
    await session.regenerate()
    session.data.user = user
    return Response.json({ user })
  })
}
