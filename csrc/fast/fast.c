/* sctpio._fast: what is slow in Python. README.md in this folder has the design and the rules. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "sctpio.h"

#define WORD sizeof(PyObject *)

enum {
    DATA,
    STREAM,
    PPID,
    SSN,
    TSN,
    CUMULATIVE_TSN,
    UNORDERED,
    CONTEXT,
    ASSOCIATION_ID,
    SOURCE,
    COMPLETE,
    FIELDS
};

static const char *const MESSAGE_NAMES[] = {
    "data", "stream", "ppid", "ssn", "tsn", "cumulative_tsn", "unordered", "context", "association_id", "source", "complete",
};

/* What PlainSender and Reading read and write. */
enum {
    ID,
    STATE,
    OUTBOUND_STREAMS,
    MESSAGES_SENT,
    BYTES_SENT,
    MESSAGES_RECEIVED,
    BYTES_RECEIVED,
    PARTIALS,
    UNREAD,
    OF_ASSOCIATION
};

static const char *const ASSOCIATION_NAMES[] = {
    "id", "state", "outbound_streams", "messages_sent", "bytes_sent", "messages_received", "bytes_received", "partials", "unread",
};

enum { SIZE, CLAIMED, INBOX, OF_UNREAD };

static const char *const UNREAD_NAMES[] = {"size", "claimed", "inbox"};

enum { MESSAGES, FRESH, OF_INBOX };

static const char *const INBOX_NAMES[] = {"messages", "fresh"};

enum { OPEN, MOST_SIZE, OF_PARTIALS };

static const char *const PARTIALS_NAMES[] = {"open", "max_message_size"};

enum { LEFT, BYTES, CHUNKS, FRAGMENT, OF_ALLOWANCE };

static const char *const ALLOWANCE_NAMES[] = {"left", "bytes", "chunks", "fragment"};

/* Attributes of a socket, of its thread's memory, and of a deque. */
enum { DESCRIPTOR, FILLS_POLICY, BATCHES, MEMORY, SCRATCH, RECORD_BYTES, ARENA_BYTES, EXTEND, OF_SOCKET };

static const char *const SOCKET_NAMES[] = {
    "_fd", "_fills_policy", "batches", "_memory", "scratch", "record_bytes", "arena_bytes", "extend",
};

/* What a class can be to this module, and the slots that it has then. */
typedef enum { MESSAGE, ASSOCIATION, ALLOWANCE, ALL_UNREAD, ONE_INBOX, ALL_PARTIALS, KINDS } Kind;

static const struct {
    const char *name;
    const char *const *names;
    int count;
} KIND[KINDS] = {
    {"message", MESSAGE_NAMES, FIELDS},
    {"association", ASSOCIATION_NAMES, OF_ASSOCIATION},
    {"allowance", ALLOWANCE_NAMES, OF_ALLOWANCE},
    {"unread", UNREAD_NAMES, OF_UNREAD},
    {"inbox", INBOX_NAMES, OF_INBOX},
    {"partials", PARTIALS_NAMES, OF_PARTIALS},
};

/* Of the module. */
typedef struct {
    PyObject *layout_type, *decoder_type;
    PyObject *of_socket[OF_SOCKET];
} State;

/* Layout: a class, and where its slots are */

typedef struct {
    PyObject_HEAD
    PyTypeObject *type;
    Kind kind;
    int tracked; /* by the garbage collector, when it is new */
    uint16_t words[FIELDS];
} Layout;

static int number_of(PyTypeObject *type, const char *attribute, Py_ssize_t *number)
{
    PyObject *value = PyObject_GetAttrString((PyObject *)type, attribute);
    if (!value)
        return -1;
    *number = PyLong_AsSsize_t(value);
    Py_DECREF(value);
    return *number == -1 && PyErr_Occurred() ? -1 : 0;
}

/* Sets each slot of a new instance to an object that is nowhere else, by the slot's own descriptor, and looks which
 * word of the instance has become that object. */
static int find_words(Layout *layout, Py_ssize_t size)
{
    PyObject *probe = PyType_GenericAlloc(layout->type, 0), *marks = PyList_New(0);
    PyObject **words = (PyObject **)probe;
    int failed = -1;

    for (int field = 0; probe && marks && field < KIND[layout->kind].count; field++) {
        PyObject *mark = PyList_New(0), *name = PyUnicode_FromString(KIND[layout->kind].names[field]);
        int found = 0;
        if (mark && name && !PyList_Append(marks, mark) && !PyObject_GenericSetAttr(probe, name, mark)) {
            for (size_t word = sizeof(PyObject) / WORD; word < (size_t)size / WORD; word++) {
                if (words[word] == mark) {
                    layout->words[field] = (uint16_t)word;
                    found++;
                }
            }
            for (int other = 0; other < field; other++)
                found += layout->words[other] == layout->words[field];
            if (found != 1)
                PyErr_Format(PyExc_TypeError, "the field %s of %R has no slot of its own",
                             KIND[layout->kind].names[field], layout->type);
        }
        Py_XDECREF(mark);
        Py_XDECREF(name);
        if (found != 1)
            goto done;
    }
    failed = probe && marks ? 0 : -1;
done:
    Py_XDECREF(probe);
    Py_XDECREF(marks);
    return failed;
}

static PyObject *layout_new(PyTypeObject *cls, PyObject *args, PyObject *keywords)
{
    PyTypeObject *type;
    Py_ssize_t size, items, dictionary;
    static char *names[] = {"", "", NULL};
    const char *name;
    int kind = 0;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!s:Layout", names, &PyType_Type, &type, &name))
        return NULL;
    while (kind < KINDS && strcmp(name, KIND[kind].name))
        kind++;
    if (kind == KINDS)
        return PyErr_Format(PyExc_ValueError, "a layout is of a message, association, allowance, unread, inbox or partials, not of: %s", name);
    /* An instance of such a class needs no more than its memory. */
    if (!(PyType_GetFlags(type) & Py_TPFLAGS_HEAPTYPE) || PyType_GetSlot(type, Py_tp_base) != (void *)&PyBaseObject_Type) {
        PyErr_Format(PyExc_TypeError, "%R is not a class that is written in Python and has no base", type);
        return NULL;
    }
    if (number_of(type, "__basicsize__", &size) || number_of(type, "__itemsize__", &items)
        || number_of(type, "__dictoffset__", &dictionary))
        return NULL;
    if (items || dictionary || size < (Py_ssize_t)sizeof(PyObject) || size / WORD > UINT16_MAX) {
        PyErr_Format(PyExc_TypeError, "%R has more than slots", type);
        return NULL;
    }
    Layout *layout = (Layout *)PyType_GenericAlloc(cls, 0);
    if (!layout)
        return NULL;
    layout->type = (PyTypeObject *)Py_NewRef((PyObject *)type);
    layout->kind = (Kind)kind;
    layout->tracked = (PyType_GetFlags(type) & Py_TPFLAGS_HAVE_GC) != 0;
    if (find_words(layout, size)) {
        Py_DECREF(layout);
        return NULL;
    }
    return (PyObject *)layout;
}

static int layout_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Layout *)self)->type);
    return 0;
}

static int layout_clear(PyObject *self)
{
    Py_CLEAR(((Layout *)self)->type);
    return 0;
}

/* For all types of this module. */
static void release(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    ((inquiry)PyType_GetSlot(type, Py_tp_clear))(self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyType_Slot layout_slots[] = {
    {Py_tp_doc, "Layout(type, kind)\n--\n\nWhere a class has the slots that this module uses."},
    {Py_tp_new, layout_new},
    {Py_tp_dealloc, release},
    {Py_tp_traverse, layout_traverse},
    {Py_tp_clear, layout_clear},
    {0, NULL},
};

static PyType_Spec layout_spec = {
    .name = "sctpio._fast.Layout",
    .basicsize = sizeof(Layout),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = layout_slots,
};

/* Raises TypeError for a layout of another kind. */
static int is_of(PyObject *layout, Kind kind)
{
    if (((Layout *)layout)->kind == kind)
        return 0;
    PyErr_Format(PyExc_TypeError, "a layout of an object of kind %s is needed", KIND[kind].name);
    return -1;
}

/* Slots and numbers */

static PyObject **slot_of(PyObject *owner, const Layout *layout, int which)
{
    return (PyObject **)owner + layout->words[which];
}

static int number_in(PyObject *value, long long *number)
{
    if (!value || !PyLong_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "a number that sending needs is none");
        return -1;
    }
    *number = PyLong_AsLongLong(value);
    return *number == -1 && PyErr_Occurred() ? -1 : 0;
}

static int number_at(PyObject *owner, PyObject *name, long long *number)
{
    PyObject *value = PyObject_GetAttr(owner, name);
    int failed = !value || number_in(value, number);
    Py_XDECREF(value);
    return failed ? -1 : 0;
}

/* Tells whether it is an int, of no subclass, from 0 to `most`. */
static int is_plain_number(PyObject *value, long long most, long long *number)
{
    int overflow = 0;

    if (!PyLong_CheckExact(value))
        return 0;
    *number = PyLong_AsLongLongAndOverflow(value, &overflow);
    return !overflow && *number >= 0 && *number <= most;
}

/* What is counted: new values are made before a message is sent, and stored once it was. */
typedef struct {
    PyObject **slot, *value;
} Count;

static int add(Count *count, PyObject **slot, long long more)
{
    long long before;

    if (number_in(*slot, &before))
        return -1;
    *count = (Count){slot, PyLong_FromLongLong(before + more)};
    return count->value ? 0 : -1;
}

/* Puts new values in, and the old ones where they are released. */
static void store(Count *counts, int number)
{
    for (int each = 0; each < number && counts[each].slot; each++) {
        PyObject *before = *counts[each].slot;
        *counts[each].slot = counts[each].value;
        counts[each].value = before;
    }
}

/* Decoder: the records of one socket become messages */

typedef struct {
    PyObject_HEAD
    Layout *layout;
    PyObject *find; /* (source, association id) -> address */
    PyObject *address; /* of the last source; NULL before the first */
    int32_t association_id;
    uint16_t source_length;
    uint8_t source[28];
} Decoder;

static PyObject *decoder_new(PyTypeObject *cls, PyObject *args, PyObject *keywords)
{
    State *state = PyType_GetModuleState(cls);
    PyObject *layout, *find;
    static char *names[] = {"", "", NULL};

    if (!state || !PyArg_ParseTupleAndKeywords(args, keywords, "O!O:Decoder", names, state->layout_type, &layout, &find))
        return NULL;
    if (is_of(layout, MESSAGE))
        return NULL;
    Decoder *decoder = (Decoder *)PyType_GenericAlloc(cls, 0);
    if (decoder) {
        decoder->layout = (Layout *)Py_NewRef(layout);
        decoder->find = Py_NewRef(find);
    }
    return (PyObject *)decoder;
}

static int decoder_traverse(PyObject *self, visitproc visit, void *arg)
{
    Decoder *decoder = (Decoder *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(decoder->layout);
    Py_VISIT(decoder->find);
    Py_VISIT(decoder->address);
    return 0;
}

static int decoder_clear(PyObject *self)
{
    Decoder *decoder = (Decoder *)self;
    Py_CLEAR(decoder->layout);
    Py_CLEAR(decoder->find);
    Py_CLEAR(decoder->address);
    return 0;
}

/* Returns a new reference to the address that a record came from. Runs Python for a source that is not the last. */
static PyObject *address_of(Decoder *decoder, const sctpio_record *record)
{
    size_t length = record->source_length;

    if (!length)
        return Py_NewRef(Py_None);
    if (decoder->address && decoder->association_id == record->association_id
        && decoder->source_length == record->source_length
        && !memcmp(decoder->source, record->source, sizeof record->source))
        return Py_NewRef(decoder->address);
    if (length > sizeof record->source)
        length = sizeof record->source;
    PyObject *address = PyObject_CallFunction(
        decoder->find, "y#i", (const char *)record->source, (Py_ssize_t)length, (int)record->association_id);
    if (address) {
        PyObject *last = decoder->address;
        decoder->address = Py_NewRef(address);
        decoder->association_id = record->association_id;
        decoder->source_length = record->source_length;
        memcpy(decoder->source, record->source, sizeof record->source);
        Py_XDECREF(last);
    }
    return address;
}

/* `arena` has the memory that `view` is of. */
static PyObject *data_of(const sctpio_record *record, PyObject *arena, const Py_buffer *view)
{
    /* As a slice of bytes is the bytes themselves if it is all of them. */
    if (PyBytes_CheckExact(arena) && record->length == (size_t)view->len)
        return Py_NewRef(arena);
    return PyBytes_FromStringAndSize((const char *)view->buf + record->offset, record->length);
}

static PyObject *message_of(Decoder *decoder, const sctpio_record *record, PyObject *arena, const Py_buffer *view)
{
    const Layout *layout = decoder->layout;
    PyObject *values[FIELDS] = {NULL}, *message;

    values[SOURCE] = address_of(decoder, record);
    if (!values[SOURCE])
        return NULL;
    values[DATA] = data_of(record, arena, view);
    values[STREAM] = PyLong_FromLong(record->stream);
    values[PPID] = PyLong_FromUnsignedLong(record->ppid);
    values[SSN] = PyLong_FromLong(record->ssn);
    values[TSN] = PyLong_FromUnsignedLong(record->tsn);
    values[CUMULATIVE_TSN] = PyLong_FromUnsignedLong(record->cumulative_tsn);
    values[UNORDERED] = PyBool_FromLong(record->flags & SCTPIO_UNORDERED);
    values[CONTEXT] = PyLong_FromUnsignedLong(record->context);
    values[ASSOCIATION_ID] = PyLong_FromLong(record->association_id);
    values[COMPLETE] = PyBool_FromLong(record->msg_flags & SCTPIO_EOR);
    for (int field = 0; field < FIELDS; field++) {
        if (!values[field])
            goto failed;
    }
    message = PyType_GenericAlloc(layout->type, 0);
    if (!message)
        goto failed;
    /* It takes over the references. */
    for (int field = 0; field < FIELDS; field++)
        ((PyObject **)message)[layout->words[field]] = values[field];
    /* No reference cycle can go through what it has: the collector need not look at it. */
    if (layout->tracked)
        PyObject_GC_UnTrack(message);
    return message;
failed:
    for (int field = 0; field < FIELDS; field++)
        Py_XDECREF(values[field]);
    return NULL;
}

/* What `messages` returns. */
typedef struct {
    PyObject *messages;
    unsigned long long size;
    int whole;
    Py_ssize_t lacking, next;
} Run;

static int add_messages(Decoder *decoder, const Py_buffer *records, Py_ssize_t count, PyObject *arena,
                        const Py_buffer *view, Run *run)
{
    for (; run->next < count; run->next++) {
        sctpio_record record; /* a copy: Python that runs meanwhile may receive again */
        memcpy(&record, (const uint8_t *)records->buf + run->next * (Py_ssize_t)sizeof record, sizeof record);
        if (record.msg_flags & SCTPIO_NOTIFICATION)
            break;
        if (record.offset > (size_t)view->len || record.length > (size_t)view->len - record.offset) {
            PyErr_Format(PyExc_ValueError, "a record names bytes %u to %llu of an arena of %zd", record.offset,
                         (unsigned long long)record.offset + record.length, view->len);
            return -1;
        }
        PyObject *message = message_of(decoder, &record, arena, view);
        int failed = !message || PyList_Append(run->messages, message);
        Py_XDECREF(message);
        if (failed)
            return -1;
        run->size += record.length;
        run->whole &= (record.msg_flags & SCTPIO_EOR) != 0;
        run->lacking += (record.msg_flags & (SCTPIO_NO_INFO | SCTPIO_CTRUNC)) != 0;
    }
    return 0;
}

static PyObject *decoder_messages(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    Py_buffer records, arena;
    PyObject *result = NULL;
    Run run = {.whole = 1};

    if (nargs != 4)
        return PyErr_Format(PyExc_TypeError, "messages() takes 4 arguments, not %zd", nargs);
    run.next = PyLong_AsSsize_t(args[1]);
    if (run.next == -1 && PyErr_Occurred())
        return NULL;
    Py_ssize_t count = PyLong_AsSsize_t(args[2]);
    if (count == -1 && PyErr_Occurred())
        return NULL;
    if (PyObject_GetBuffer(args[0], &records, PyBUF_SIMPLE))
        return NULL;
    if (PyObject_GetBuffer(args[3], &arena, PyBUF_SIMPLE)) {
        PyBuffer_Release(&records);
        return NULL;
    }
    if (run.next < 0 || run.next > count || count > records.len / (Py_ssize_t)sizeof(sctpio_record))
        PyErr_Format(PyExc_ValueError, "records %zd to %zd of %zd", run.next, count,
                     records.len / (Py_ssize_t)sizeof(sctpio_record));
    else if ((run.messages = PyList_New(0)) && !add_messages((Decoder *)self, &records, count, args[3], &arena, &run))
        result = Py_BuildValue("OKOnn", run.messages, run.size, run.whole ? Py_True : Py_False, run.lacking, run.next);
    Py_XDECREF(run.messages);
    PyBuffer_Release(&arena);
    PyBuffer_Release(&records);
    return result;
}

static PyMethodDef decoder_methods[] = {
    {"messages", (PyCFunction)(void (*)(void))decoder_messages, METH_FASTCALL,
     "messages($self, records, first, count, arena, /)\n--\n\nSee sctpio._loop.records.Decoder."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot decoder_slots[] = {
    {Py_tp_doc, "Decoder(layout, find)\n--\n\nSee sctpio._loop.records.Decoder."},
    {Py_tp_new, decoder_new},
    {Py_tp_dealloc, release},
    {Py_tp_traverse, decoder_traverse},
    {Py_tp_clear, decoder_clear},
    {Py_tp_methods, decoder_methods},
    {0, NULL},
};

static PyType_Spec decoder_spec = {
    .name = "sctpio._fast.Decoder",
    .basicsize = sizeof(Decoder),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = decoder_slots,
};

/* A large message is received into bytes of its own */

typedef int (*Receive)(int fd, uint8_t *arena, uint32_t arena_length, sctpio_record *records, uint32_t capacity,
                       int32_t *state);

static PyObject *receive_own(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    Py_buffer records;
    PyObject *data, *result = NULL;
    int32_t state = 0;
    int count;

    if (nargs != 4)
        return PyErr_Format(PyExc_TypeError, "receive_own() takes 4 arguments, not %zd", nargs);
    Receive receive = (Receive)PyLong_AsVoidPtr(args[0]);
    if (!receive && PyErr_Occurred())
        return NULL;
    long fd = PyLong_AsLong(args[1]);
    if (fd == -1 && PyErr_Occurred())
        return NULL;
    Py_ssize_t size = PyLong_AsSsize_t(args[2]);
    if (size == -1 && PyErr_Occurred())
        return NULL;
    if (size < 1 || size > INT32_MAX)
        return PyErr_Format(PyExc_ValueError, "a message of %zd bytes", size);
    if (PyObject_GetBuffer(args[3], &records, PyBUF_WRITABLE))
        return NULL;
    data = PyBytes_FromStringAndSize(NULL, size);
    if (!data)
        goto done;
    if (records.len < (Py_ssize_t)sizeof(sctpio_record)) {
        PyErr_Format(PyExc_ValueError, "a record does not fit into %zd bytes", records.len);
        goto done;
    }
    uint8_t *bytes = (uint8_t *)PyBytes_AsString(data);
    sctpio_record record = {0};
    /* Nobody else has the bytes or the record yet. */
    Py_BEGIN_ALLOW_THREADS
    count = receive((int)fd, bytes, (uint32_t)size, &record, 1, &state);
    Py_END_ALLOW_THREADS
    if (count == 1) {
        if (record.offset || record.length > size) {
            PyErr_Format(PyExc_ValueError, "a record names bytes %u to %llu of %zd", record.offset,
                         (unsigned long long)record.offset + record.length, size);
            goto done;
        }
        memcpy(records.buf, &record, sizeof record);
    } else {
        record.length = 0;
    }
    if (record.length < size)
        /* As what is queued comes in order, and is read here only, this is where nothing came. */
        result = Py_BuildValue("iiy#", (int)state, count, (const char *)bytes, (Py_ssize_t)record.length);
    else
        result = Py_BuildValue("iiO", (int)state, count, data);
done:
    Py_XDECREF(data);
    PyBuffer_Release(&records);
    return result;
}

static PyMethodDef functions[] = {
    {"receive_own", (PyCFunction)(void (*)(void))receive_own, METH_FASTCALL,
     "receive_own($module, address, fd, size, records, /)\n--\n\nSee sctpio.stacks.kernel.socket."},
    {NULL, NULL, 0, NULL},
};

/* PlainSender: the ordinary messages of one association go to the kernel */

typedef int (*SendPlain)(int fd, int32_t association_id, const uint8_t *data, uint32_t length, uint16_t stream,
                         uint16_t flags, uint32_t ppid, uint32_t context);

typedef int (*SendBatch)(int fd, const sctpio_target *target, const sctpio_outgoing *messages, uint32_t count,
                         const uint8_t *data, size_t data_length);

typedef struct {
    PyObject_HEAD
    Layout *of_association, *of_allowance;
    PyObject *association, *up, *queue, *raw, *allowances;
    SendPlain send; /* sctpio_send_plain of the stack */
    SendBatch send_batch; /* sctpio_send_batch */
} PlainSender;

/* A larger message goes by cffi, which lets other threads run meanwhile. */
#define MOST_PLAIN (64 * 1024)
/* As in stacks/kernel/allowance. */
#define CHUNK_COST 232
/* As in _loop/sending. */
#define BATCH 64
#define BATCH_BYTES (16 * 1024)

static PyObject *plain_new(PyTypeObject *cls, PyObject *args, PyObject *keywords)
{
    State *state = PyType_GetModuleState(cls);
    PyObject *of_association, *of_allowance, *association, *up, *queue, *raw, *allowances;
    unsigned long long address, batch_address;
    static char *names[] = {"", "", "", "", "", "", "", "", "", NULL};

    if (!state
        || !PyArg_ParseTupleAndKeywords(args, keywords, "O!O!OOO!OO!KK:PlainSender", names, state->layout_type,
                                        &of_association, state->layout_type, &of_allowance, &association, &up, &PyList_Type,
                                        &queue, &raw, &PyDict_Type, &allowances, &address, &batch_address))
        return NULL;
    if (is_of(of_association, ASSOCIATION) || is_of(of_allowance, ALLOWANCE))
        return NULL;
    if (!PyObject_TypeCheck(association, ((Layout *)of_association)->type))
        return PyErr_Format(PyExc_TypeError, "%R is not of the class that the layout is of", association);
    PlainSender *sender = (PlainSender *)PyType_GenericAlloc(cls, 0);
    if (sender) {
        sender->of_association = (Layout *)Py_NewRef(of_association);
        sender->of_allowance = (Layout *)Py_NewRef(of_allowance);
        sender->association = Py_NewRef(association);
        sender->up = Py_NewRef(up);
        sender->queue = Py_NewRef(queue);
        sender->raw = Py_NewRef(raw);
        sender->allowances = Py_NewRef(allowances);
        sender->send = (SendPlain)(uintptr_t)address;
        sender->send_batch = (SendBatch)(uintptr_t)batch_address;
    }
    return (PyObject *)sender;
}

static int plain_traverse(PyObject *self, visitproc visit, void *arg)
{
    PlainSender *sender = (PlainSender *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(sender->of_association);
    Py_VISIT(sender->of_allowance);
    Py_VISIT(sender->association);
    Py_VISIT(sender->up);
    Py_VISIT(sender->queue);
    Py_VISIT(sender->raw);
    Py_VISIT(sender->allowances);
    return 0;
}

static int plain_clear(PyObject *self)
{
    PlainSender *sender = (PlainSender *)self;
    Py_CLEAR(sender->of_association);
    Py_CLEAR(sender->of_allowance);
    Py_CLEAR(sender->association);
    Py_CLEAR(sender->up);
    Py_CLEAR(sender->queue);
    Py_CLEAR(sender->raw);
    Py_CLEAR(sender->allowances);
    return 0;
}

static long long cost_of(long long size) { return size < CHUNK_COST ? (size + CHUNK_COST + 1) / 2 : size; }

static int left_of(PyObject *allowance, const Layout *layout, long long *left, long long *fragment)
{
    return number_in(*slot_of(allowance, layout, LEFT), left) || number_in(*slot_of(allowance, layout, FRAGMENT), fragment)
               ? -1
               : 0;
}

/* Sends a message that was checked and counts it; returns what Python is told, or NULL. */
static PyObject *send_counted(PlainSender *sender, PyObject *allowance, PyObject *data, long long fd, long long id,
                              uint16_t stream, uint16_t flags, uint32_t ppid, uint32_t context)
{
    PyObject *association = sender->association, *result = NULL;
    const Layout *own = sender->of_association, *of_allowance = sender->of_allowance;
    Py_ssize_t size = PyBytes_Size(data);
    Count counts[5] = {{NULL, NULL}};

    if (add(&counts[0], slot_of(association, own, MESSAGES_SENT), 1)
        || add(&counts[1], slot_of(association, own, BYTES_SENT), size))
        goto done;
    if (allowance) {
        long long takes = cost_of(size), left, fragment;
        if (left_of(allowance, of_allowance, &left, &fragment))
            goto done;
        /* The next like it has to fit as well: else this one asks for its SACK, or the kernel is asked first. */
        if (left < 2 * takes || fragment < 1) {
            result = Py_NewRef(Py_None);
            goto done;
        }
        if (add(&counts[2], slot_of(allowance, of_allowance, LEFT), -takes)
            || add(&counts[3], slot_of(allowance, of_allowance, BYTES), size)
            || add(&counts[4], slot_of(allowance, of_allowance, CHUNKS), (size + fragment - 1) / fragment))
            goto done;
    }
    int code = sender->send((int)fd, (int32_t)id, (const uint8_t *)PyBytes_AsString(data), (uint32_t)size, stream, flags,
                            ppid, context);
    if (code < 0) {
        result = code == -EAGAIN ? Py_NewRef(Py_False) : PyLong_FromLong(code);
        goto done;
    }
    store(counts, 5);
    result = Py_NewRef(Py_True);
done:
    for (int each = 0; each < 5; each++)
        Py_XDECREF(counts[each].value);
    return result;
}

/* What sending needs of the association and its socket. Gives 1, 0 if Python has to send, or -1; a new reference to
 * the allowance, or NULL where there is none. */
static int look(PlainSender *sender, State *state, long long stream, long long *fd, long long *id, PyObject **allowance)
{
    PyObject **slots = (PyObject **)sender->association;
    const uint16_t *words = sender->of_association->words;
    long long streams, fills;

    *allowance = NULL;
    if (number_in(slots[words[OUTBOUND_STREAMS]], &streams))
        return -1;
    if (slots[words[STATE]] != sender->up || stream >= streams)
        return 0;
    if (number_at(sender->raw, state->of_socket[FILLS_POLICY], &fills)
        || number_at(sender->raw, state->of_socket[DESCRIPTOR], fd))
        return -1;
    if (fills || !slots[words[ID]])
        return 0;
    if (number_in(slots[words[ID]], id))
        return -1;
    PyObject *found = PyDict_GetItemWithError(sender->allowances, slots[words[ID]]);
    if (!found)
        return PyErr_Occurred() ? -1 : 1;
    if (!PyObject_TypeCheck(found, sender->of_allowance->type)) {
        PyErr_Format(PyExc_TypeError, "%R is not of the class that the layout is of", found);
        return -1;
    }
    *allowance = Py_NewRef(found);
    return 1;
}

static PyObject *plain_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PlainSender *sender = (PlainSender *)self;
    State *state = PyType_GetModuleState(Py_TYPE(self));
    long long stream, ppid, context, fd, id;
    PyObject *allowance;

    if (!state)
        return NULL;
    if (nargs != 5)
        return PyErr_Format(PyExc_TypeError, "send() takes 5 arguments, not %zd", nargs);
    PyObject *data = args[0], *unordered = args[3];

    if (!PyBytes_CheckExact(data) || !PyBytes_Size(data) || PyBytes_Size(data) > MOST_PLAIN
        || (unordered != Py_True && unordered != Py_False) || !is_plain_number(args[1], UINT16_MAX, &stream)
        || !is_plain_number(args[2], UINT32_MAX, &ppid) || !is_plain_number(args[4], UINT32_MAX, &context))
        Py_RETURN_NONE;
    switch (look(sender, state, stream, &fd, &id, &allowance)) {
    case -1:
        return NULL;
    case 0:
        Py_RETURN_NONE;
    }
    PyObject *result = NULL;
    if (PyList_Size(sender->queue))
        result = Py_NewRef(Py_False);
    else
        result = send_counted(sender, allowance, data, fd, id, (uint16_t)stream,
                              unordered == Py_True ? SCTPIO_UNORDERED : 0, (uint32_t)ppid, (uint32_t)context);
    Py_XDECREF(allowance);
    return result;
}

/* A batch, copied: what is sent while other threads run. */
typedef struct {
    sctpio_outgoing messages[BATCH];
    uint8_t data[BATCH_BYTES];
    uint32_t count;
    size_t size;
} Outgoing;

/* Takes messages like the first as far as a batch goes and the list has ordinary ones. */
static void fill(Outgoing *batch, PyObject *list, Py_ssize_t first, const sctpio_outgoing *like)
{
    Py_ssize_t end = PyList_Size(list);

    batch->count = 0;
    batch->size = 0;
    for (Py_ssize_t each = first; each < end && batch->count < BATCH; each++) {
        PyObject *data = PyList_GetItem(list, each);
        if (!PyBytes_CheckExact(data))
            break;
        size_t size = (size_t)PyBytes_Size(data);
        if (!size || size > BATCH_BYTES - batch->size)
            break;
        memcpy(batch->data + batch->size, PyBytes_AsString(data), size);
        batch->messages[batch->count] = *like;
        batch->messages[batch->count++].length = (uint32_t)size;
        batch->size += size;
    }
}

/* Tells whether the peer can take all of a batch, and one more like the last of it; -1 for an error. */
static int fits(const PlainSender *sender, PyObject *allowance, const Outgoing *batch)
{
    long long left, fragment, takes = 0;

    if (!allowance)
        return 1;
    if (left_of(allowance, sender->of_allowance, &left, &fragment))
        return -1;
    for (uint32_t each = 0; each < batch->count; each++)
        takes += cost_of(batch->messages[each].length);
    return takes + cost_of(batch->messages[batch->count - 1].length) <= left && fragment >= 1;
}

/* Counts the first messages of a batch, which were sent: 0, or -1. */
static int count_sent(const PlainSender *sender, PyObject *allowance, const Outgoing *batch, uint32_t sent)
{
    PyObject *association = sender->association;
    const Layout *own = sender->of_association, *of_allowance = sender->of_allowance;
    long long size = 0, takes = 0, chunks = 0, left, fragment = 1;
    Count counts[5] = {{NULL, NULL}};
    int failed = -1;

    if (allowance && left_of(allowance, of_allowance, &left, &fragment))
        return -1;
    for (uint32_t each = 0; each < sent; each++) {
        uint32_t length = batch->messages[each].length;
        size += length;
        takes += cost_of(length);
        chunks += (length + fragment - 1) / fragment;
    }
    if (!add(&counts[0], slot_of(association, own, MESSAGES_SENT), sent)
        && !add(&counts[1], slot_of(association, own, BYTES_SENT), size)
        && (!allowance
            || (!add(&counts[2], slot_of(allowance, of_allowance, LEFT), -takes)
                && !add(&counts[3], slot_of(allowance, of_allowance, BYTES), size)
                && !add(&counts[4], slot_of(allowance, of_allowance, CHUNKS), chunks)))) {
        store(counts, 5);
        failed = 0;
    }
    for (int each = 0; each < 5; each++)
        Py_XDECREF(counts[each].value);
    return failed;
}

static PyObject *plain_send_many(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PlainSender *sender = (PlainSender *)self;
    State *state = PyType_GetModuleState(Py_TYPE(self));
    long long first, stream, flags, ppid, fd, id;
    PyObject *allowance, *result = NULL;
    Outgoing batch;
    int sent;

    if (!state)
        return NULL;
    if (nargs != 6)
        return PyErr_Format(PyExc_TypeError, "send_many() takes 6 arguments, not %zd", nargs);
    PyObject *list = args[0], *bundle = args[5];

    if (!PyList_CheckExact(list) || (bundle != Py_True && bundle != Py_False)
        || !is_plain_number(args[1], PY_SSIZE_T_MAX, &first) || !is_plain_number(args[2], UINT16_MAX, &stream)
        || !is_plain_number(args[3], UINT16_MAX, &flags) || !is_plain_number(args[4], UINT32_MAX, &ppid)
        || PyList_Size(sender->queue))
        return PyLong_FromLong(0);
    switch (look(sender, state, stream, &fd, &id, &allowance)) {
    case -1:
        return NULL;
    case 0:
        return PyLong_FromLong(0);
    }
    sctpio_target target = {.association_id = (int32_t)id, .auth_key = -1, .bundle = bundle == Py_True};
    sctpio_outgoing like = {.ppid = (uint32_t)ppid, .stream = (uint16_t)stream, .flags = (uint16_t)flags};
    fill(&batch, list, first, &like);
    int fit = batch.count ? fits(sender, allowance, &batch) : 0;
    if (fit != 1) {
        if (!fit)
            result = PyLong_FromLong(0);
        goto done;
    }
    SendBatch send_batch = sender->send_batch;
    Py_BEGIN_ALLOW_THREADS
    sent = send_batch((int)fd, &target, batch.messages, batch.count, batch.data, batch.size);
    Py_END_ALLOW_THREADS
    if (sent > (int)batch.count)
        PyErr_Format(PyExc_ValueError, "%d messages of %u were sent", sent, batch.count);
    else if (sent <= 0 || !count_sent(sender, allowance, &batch, (uint32_t)sent))
        result = PyLong_FromLong(sent == -EAGAIN ? 0 : sent);
done:
    Py_XDECREF(allowance);
    return result;
}

static PyMethodDef plain_methods[] = {
    {"send", (PyCFunction)(void (*)(void))plain_send, METH_FASTCALL,
     "send($self, data, stream, ppid, unordered, context, /)\n--\n\nSee sctpio._loop.plain."},
    {"send_many", (PyCFunction)(void (*)(void))plain_send_many, METH_FASTCALL,
     "send_many($self, messages, first, stream, flags, ppid, bundle, /)\n--\n\nSee sctpio._loop.plain."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot plain_slots[] = {
    {Py_tp_doc, "PlainSender(of_association, of_allowance, association, up, queue, raw, allowances, address, batch_address)\n--\n\nSee sctpio._loop.plain."},
    {Py_tp_new, plain_new},
    {Py_tp_dealloc, release},
    {Py_tp_traverse, plain_traverse},
    {Py_tp_clear, plain_clear},
    {Py_tp_methods, plain_methods},
    {0, NULL},
};

static PyType_Spec plain_spec = {
    .name = "sctpio._fast.PlainSender",
    .basicsize = sizeof(PlainSender),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = plain_slots,
};

/* Reading: the ordinary messages of one association come from the kernel */

typedef struct {
    PyObject_HEAD
    Layout *of_association, *of_unread, *of_inbox, *of_partials;
    PyObject *up, *deque, *nothing;
    Receive receive; /* sctpio_receive of the stack */
} Reading;

/* As in stacks/base, stacks/native and _loop/unread. */
#define LARGE_SIZE (64 * 1024)
#define LEAST_ARENA (64 * 1024)
#define MESSAGE_OVERHEAD 256

static PyObject *reading_new(PyTypeObject *cls, PyObject *args, PyObject *keywords)
{
    State *state = PyType_GetModuleState(cls);
    PyObject *layouts[4], *up, *deque, *nothing;
    unsigned long long address;
    static const Kind kinds[] = {ASSOCIATION, ALL_UNREAD, ONE_INBOX, ALL_PARTIALS};
    static char *names[] = {"", "", "", "", "", "", "", "", NULL};

    if (!state
        || !PyArg_ParseTupleAndKeywords(args, keywords, "O!O!O!O!OOOK:Reading", names, state->layout_type, &layouts[0],
                                        state->layout_type, &layouts[1], state->layout_type, &layouts[2], state->layout_type,
                                        &layouts[3], &up, &deque, &nothing, &address))
        return NULL;
    for (int each = 0; each < 4; each++) {
        if (is_of(layouts[each], kinds[each]))
            return NULL;
    }
    Reading *reading = (Reading *)PyType_GenericAlloc(cls, 0);
    if (reading) {
        reading->of_association = (Layout *)Py_NewRef(layouts[0]);
        reading->of_unread = (Layout *)Py_NewRef(layouts[1]);
        reading->of_inbox = (Layout *)Py_NewRef(layouts[2]);
        reading->of_partials = (Layout *)Py_NewRef(layouts[3]);
        reading->up = Py_NewRef(up);
        reading->deque = Py_NewRef(deque);
        reading->nothing = Py_NewRef(nothing);
        reading->receive = (Receive)(uintptr_t)address;
    }
    return (PyObject *)reading;
}

static int reading_traverse(PyObject *self, visitproc visit, void *arg)
{
    Reading *reading = (Reading *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(reading->of_association);
    Py_VISIT(reading->of_unread);
    Py_VISIT(reading->of_inbox);
    Py_VISIT(reading->of_partials);
    Py_VISIT(reading->up);
    Py_VISIT(reading->deque);
    Py_VISIT(reading->nothing);
    return 0;
}

static int reading_clear(PyObject *self)
{
    Reading *reading = (Reading *)self;
    Py_CLEAR(reading->of_association);
    Py_CLEAR(reading->of_unread);
    Py_CLEAR(reading->of_inbox);
    Py_CLEAR(reading->of_partials);
    Py_CLEAR(reading->up);
    Py_CLEAR(reading->deque);
    Py_CLEAR(reading->nothing);
    return 0;
}

/* Where messages go. The references are borrowed: from what the association has. */
typedef struct {
    PyObject *unread, *inbox;
    long long most; /* the size of a message */
} Place;

static int is_exactly(PyObject *object, const Layout *layout)
{
    if (object && Py_TYPE(object) == layout->type)
        return 1;
    PyErr_Format(PyExc_TypeError, "an object of kind %s is missing", KIND[layout->kind].name);
    return 0;
}

/* Finds where ordinary messages go: 1, 0 if they go another way, or -1. */
static int find_place(const Reading *reading, PyObject *association, Place *place)
{
    /* One of a subclass tells of each message. */
    if (Py_TYPE(association) != reading->of_association->type
        || *slot_of(association, reading->of_association, STATE) != reading->up)
        return 0;
    PyObject *partials = *slot_of(association, reading->of_association, PARTIALS);
    place->unread = *slot_of(association, reading->of_association, UNREAD);
    if (!is_exactly(partials, reading->of_partials) || !is_exactly(place->unread, reading->of_unread))
        return -1;
    PyObject *open = *slot_of(partials, reading->of_partials, OPEN);
    PyObject *claimed = *slot_of(place->unread, reading->of_unread, CLAIMED);
    place->inbox = *slot_of(place->unread, reading->of_unread, INBOX);
    if (!is_exactly(place->inbox, reading->of_inbox)
        || number_in(*slot_of(partials, reading->of_partials, MOST_SIZE), &place->most))
        return -1;
    return open && PyDict_CheckExact(open) && !PyDict_Size(open) && claimed && PyDict_CheckExact(claimed)
           && !PyDict_Size(claimed);
}

/* Puts a run of whole messages into the inbox, and counts them: 1, 0 if they go another way now, or -1. */
static int feed(const Reading *reading, State *state, PyObject *association, const Run *run, Py_ssize_t count)
{
    PyObject *fresh_deque = NULL, *extended = NULL, *messages;
    Count counts[3] = {{NULL, NULL}};
    Place place;
    int result = find_place(reading, association, &place);

    if (result == 1 && *slot_of(place.inbox, reading->of_inbox, MESSAGES) == reading->nothing) {
        fresh_deque = PyObject_CallNoArgs(reading->deque);
        /* What the collector has called meanwhile may have changed it. */
        result = fresh_deque ? find_place(reading, association, &place) : -1;
    }
    if (result == 1 && run->size > (unsigned long long)place.most)
        result = 0;
    if (result != 1)
        goto done;
    result = -1;
    const Layout *own = reading->of_association;
    if (add(&counts[0], slot_of(association, own, MESSAGES_RECEIVED), count)
        || add(&counts[1], slot_of(association, own, BYTES_RECEIVED), (long long)run->size)
        || add(&counts[2], slot_of(place.unread, reading->of_unread, SIZE), (long long)run->size + count * MESSAGE_OVERHEAD))
        goto done;
    PyObject **slot = slot_of(place.inbox, reading->of_inbox, MESSAGES);
    if (fresh_deque && *slot == reading->nothing) {
        messages = *slot;
        *slot = fresh_deque;
        fresh_deque = messages;
    }
    /* A deque takes what a list has without a call into Python. */
    extended = PyObject_CallMethodObjArgs(*slot, state->of_socket[EXTEND], run->messages, NULL);
    if (!extended)
        goto done;
    store(counts, 3);
    slot = slot_of(place.inbox, reading->of_inbox, FRESH);
    messages = *slot;
    *slot = Py_NewRef(Py_True);
    Py_XDECREF(messages);
    result = 1;
done:
    for (int each = 0; each < 3; each++)
        Py_XDECREF(counts[each].value);
    Py_XDECREF(extended);
    Py_XDECREF(fresh_deque);
    return result;
}

static int is_ordinary(const sctpio_record *record)
{
    return record->msg_flags == SCTPIO_EOR && record->length < LARGE_SIZE;
}

/* A socket's memory for a batch. */
typedef struct {
    PyObject *records, *arena;
    Py_buffer record_view, arena_view;
} Memory;

static int attribute(PyObject *owner, PyObject *name, PyObject **value)
{
    *value = PyObject_GetAttr(owner, name);
    return *value ? 0 : -1;
}

static void leave_memory(Memory *memory)
{
    if (memory->record_view.obj)
        PyBuffer_Release(&memory->record_view);
    if (memory->arena_view.obj)
        PyBuffer_Release(&memory->arena_view);
    Py_XDECREF(memory->records);
    Py_XDECREF(memory->arena);
}

/* Finds the memory of this thread. */
static int enter_memory(State *state, PyObject *raw, Memory *memory)
{
    PyObject *each_threads = NULL, *scratch = NULL;
    int failed = attribute(raw, state->of_socket[MEMORY], &each_threads)
                 || attribute(each_threads, state->of_socket[SCRATCH], &scratch)
                 || attribute(scratch, state->of_socket[RECORD_BYTES], &memory->records)
                 || attribute(scratch, state->of_socket[ARENA_BYTES], &memory->arena)
                 || PyObject_GetBuffer(memory->records, &memory->record_view, PyBUF_WRITABLE)
                 || PyObject_GetBuffer(memory->arena, &memory->arena_view, PyBUF_WRITABLE);
    Py_XDECREF(each_threads);
    Py_XDECREF(scratch);
    return failed ? -1 : 0;
}

/* Receives a batch, and takes it if there are ordinary messages alone. */
static PyObject *read_batch(const Reading *reading, State *state, PyObject *const *args, long long space, long long most)
{
    PyObject *association = args[0], *raw = args[1], *result = NULL, *number = NULL;
    Memory memory = {NULL};
    Run run = {.whole = 1};
    long long fd, batches;
    int32_t ended = 0;
    int count, taken = 0;

    if (number_at(raw, state->of_socket[DESCRIPTOR], &fd) || number_at(raw, state->of_socket[BATCHES], &batches)
        || !(number = PyLong_FromLongLong(batches + 1)) || PyObject_SetAttr(raw, state->of_socket[BATCHES], number)
        || enter_memory(state, raw, &memory))
        goto done;
    long long size = memory.arena_view.len, capacity = memory.record_view.len / (Py_ssize_t)sizeof(sctpio_record);
    if (space < size)
        size = space > LEAST_ARENA || size < LEAST_ARENA ? space : LEAST_ARENA;
    if (most < capacity)
        capacity = most;
    Receive receive = reading->receive;
    uint8_t *arena = memory.arena_view.buf;
    sctpio_record *records = memory.record_view.buf;
    Py_BEGIN_ALLOW_THREADS
    count = receive((int)fd, arena, (uint32_t)size, records, (uint32_t)capacity, &ended);
    Py_END_ALLOW_THREADS
    if (count > (int)capacity) {
        PyErr_Format(PyExc_ValueError, "%d records of %lld were received", count, capacity);
        goto done;
    }
    if (count < 0) {
        errno = -count;
        PyErr_SetFromErrno(PyExc_OSError);
        goto done;
    }
    if (ended == -EAGAIN || ended == SCTPIO_MORE) {
        taken = 1;
        for (int each = 0; each < count; each++)
            taken &= is_ordinary(&records[each]);
    }
    if (taken && count) {
        run.messages = PyList_New(0);
        if (!run.messages
            || add_messages((Decoder *)args[2], &memory.record_view, count, memory.arena, &memory.arena_view, &run))
            goto done;
        /* Python may have run meanwhile, and received: then it is what has come last that is read below. */
        taken = run.next == count ? feed(reading, state, association, &run, count) : 0;
    }
    if (taken == 1)
        result = PyLong_FromLong(ended == SCTPIO_MORE ? ~(long)count : (long)count);
    else if (!taken)
        result = Py_BuildValue("iiOO", (int)ended, count, memory.records, memory.arena);
done:
    Py_XDECREF(run.messages);
    Py_XDECREF(number);
    leave_memory(&memory);
    return result;
}

static PyObject *reading_read(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    Reading *reading = (Reading *)self;
    State *state = PyType_GetModuleState(Py_TYPE(self));
    long long space, most;
    Place place;

    if (!state)
        return NULL;
    if (nargs != 5)
        return PyErr_Format(PyExc_TypeError, "read() takes 5 arguments, not %zd", nargs);
    if ((PyObject *)Py_TYPE(args[2]) != state->decoder_type)
        return PyErr_Format(PyExc_TypeError, "%R is no decoder", args[2]);
    if (number_in(args[3], &space) || number_in(args[4], &most))
        return NULL;
    if (most < 1)
        return PyErr_Format(PyExc_ValueError, "a batch of %lld records", most);
    switch (find_place(reading, args[0], &place)) {
    case -1:
        return NULL;
    case 0:
        Py_RETURN_NONE;
    }
    return read_batch(reading, state, args, space, most);
}

static PyMethodDef reading_methods[] = {
    {"read", (PyCFunction)(void (*)(void))reading_read, METH_FASTCALL,
     "read($self, association, raw, decoder, space, most, /)\n--\n\nSee sctpio._loop.plain."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot reading_slots[] = {
    {Py_tp_doc, "Reading(of_association, of_unread, of_inbox, of_partials, up, deque, nothing, address)\n--\n\nSee sctpio._loop.plain."},
    {Py_tp_new, reading_new},
    {Py_tp_dealloc, release},
    {Py_tp_traverse, reading_traverse},
    {Py_tp_clear, reading_clear},
    {Py_tp_methods, reading_methods},
    {0, NULL},
};

static PyType_Spec reading_spec = {
    .name = "sctpio._fast.Reading",
    .basicsize = sizeof(Reading),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = reading_slots,
};

/* The module */

static int add_type(PyObject *module, PyType_Spec *spec, const char *name)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    int failed = !type || PyModule_AddObjectRef(module, name, type);
    Py_XDECREF(type);
    return failed ? -1 : 0;
}

static int execute(PyObject *module)
{
    State *state = PyModule_GetState(module);
    state->layout_type = PyType_FromModuleAndSpec(module, &layout_spec, NULL);
    if (!state->layout_type || PyModule_AddObjectRef(module, "Layout", state->layout_type))
        return -1;
    for (int each = 0; each < OF_SOCKET; each++) {
        state->of_socket[each] = PyUnicode_InternFromString(SOCKET_NAMES[each]);
        if (!state->of_socket[each])
            return -1;
    }
    state->decoder_type = PyType_FromModuleAndSpec(module, &decoder_spec, NULL);
    if (!state->decoder_type || PyModule_AddObjectRef(module, "Decoder", state->decoder_type))
        return -1;
    return add_type(module, &plain_spec, "PlainSender") || add_type(module, &reading_spec, "Reading") ? -1 : 0;
}

static int traverse(PyObject *module, visitproc visit, void *arg)
{
    State *state = PyModule_GetState(module);
    Py_VISIT(state->layout_type);
    Py_VISIT(state->decoder_type);
    return 0;
}

static int clear(PyObject *module)
{
    State *state = PyModule_GetState(module);
    Py_CLEAR(state->layout_type);
    Py_CLEAR(state->decoder_type);
    for (int each = 0; each < OF_SOCKET; each++)
        Py_CLEAR(state->of_socket[each]);
    return 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, execute},
    {0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "sctpio._fast",
    .m_doc = "What is slow in Python, in C. Where it was not built, sctpio works without it.",
    .m_size = sizeof(State),
    .m_methods = functions,
    .m_slots = module_slots,
    .m_traverse = traverse,
    .m_clear = clear,
};

PyMODINIT_FUNC PyInit__fast(void)
{
    return PyModuleDef_Init(&module);
}
