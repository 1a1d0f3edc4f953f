# Что говорят сообщения, по-русски. `$count` выбирает форму числа, всё остальное приходит уже записанным.
# Каждая фраза английского файла должна быть и здесь, с теми же переменными: это проверяет тест.
# Формы числа: [one] 1, 21; [few] 2–4; [many] 5–20; *[other] дроби: 1,5 метрики.

# --- слова состояния: первое слово каждого сообщения ----------------------------------------------------------------
state-critical = КРИТИЧНО
state-warning = ВНИМАНИЕ
state-failed = СБОЙ
state-resolved = РЕШЕНО
state-done = ГОТОВО
state-test = ТЕСТ
state-digest = СВОДКА

# --- подписи строк и ссылок -----------------------------------------------------------------------------------------
label-where = Где
label-when = Когда
label-data = Данные
label-impact = Последствия
label-next = Что делать
label-delayed = С опозданием
link-dashboard = Дашборд
link-run = Запуск
link-dagster = Dagster
join-and = { $items } и { $last }
and-more = и ещё { $count }
id = id { $id }

# --- о любом сообщении ----------------------------------------------------------------------------------------------
delayed = на { $ago } · от { $moment }
headline-over = { $subject }, длилось { $duration }

# --- метрики --------------------------------------------------------------------------------------------------------
# `.short` – имя в таблицах, не длиннее 10 знаков; где его нет, хватает полного.
metric-receivers = Получатели
    .short = Получили
metric-app_dau = DAU приложения
    .short = DAU прил.
metric-feed_dau = DAU ленты
metric-messenger_dau = DAU мессенджера
    .short = DAU месс.
metric-feed_only = Только лента
    .short = Лишь лента
metric-messenger_only = Только мессенджер
    .short = Лишь месс.
metric-both_services = Оба сервиса
    .short = Оба серв.
metric-messages_sent = Отправленные сообщения
    .short = Сообщения
metric-sent_per_sender = Сообщений на отправителя
    .short = На отправ.
metric-received_per_receiver = Сообщений на получателя
    .short = На получ.
metric-sent_received = Отправлено / получено
    .short = Отпр/получ
metric-views_per_user = Просмотров на пользователя
    .short = Просм/чел
metric-likes_per_user = Лайков на пользователя
    .short = Лайки/чел
metric-new_users = Новые пользователи
    .short = Новые
metric-new_users_ads = Новые из рекламы
    .short = · реклама
metric-new_users_organic = Новые из органики
    .short = · органика
metric-new_users_other = Новые, прочие
    .short = · прочие
metric-wau = WAU
metric-mau = MAU
metric-stickiness = Липкость (DAU/MAU)
    .short = DAU/MAU
metric-retention_d1 = Удержание D1
    .short = Удерж. D1
metric-retention_d7 = Удержание D7
    .short = Удерж. D7

# --- измерения и срезы ----------------------------------------------------------------------------------------------
slice-of-metric = { $metric } ({ $slice })

# --- ежедневный отчёт -----------------------------------------------------------------------------------------------
report-title = Отчёт за день · { $date }
report-correction = Отчёт за день · { $date } · ИСПРАВЛЕН
report-correction-why = С тех пор как о дне рассказано, его числа изменились.
report-missing = Отчёт за день · { $date } · НЕТ ДАННЫХ
report-partial = Отчёт за день · { $date } · ДАННЫЕ НЕ ВСЕ
report-incomplete = Отчёт за день · { $date } · НЕПОЛНЫЙ
report-failed-checks = Отчёт за день · { $date } · ПРОВЕРКИ НЕ ПРОШЛИ
report-missing-next = День не рассчитан: материализуйте daily_etl за { $date }, затем daily_report с send: true.
report-partial-next = Числа неверны, за этот день не рассчитано: { $tables }. Материализуйте daily_etl за { $date }, затем daily_report с send: true.
report-incomplete-next = День рассчитан раньше, чем закончился: числа могут быть занижены.
report-failed-checks-next = Проверки за этот день не прошли: числа могут быть неверны.
report-critical = критично: { $count }
report-warning = внимание: { $count }
report-normal = норма: { $count }
report-part-feed = Лента
report-part-messenger = Мессенджер
report-part-application = Всё приложение
report-column-metric = метрика
report-column-value = знач.
report-column-day = 1д
report-column-week = 7д
report-fresh = Данные на { $moment }
report-checks = проверки { $passed }/{ $total }
report-period = Период { $day } { $times } { $zone }
report-chart-actual = последние 7 дней
report-chart-before = 7 дней до них
report-chart-title = { $part } · { $date }
report-chart-subtitle = Изменения к тому же дню прошлой недели

# --- аномалии -------------------------------------------------------------------------------------------------------
anomaly-subject = { $metric } { $change }
anomaly-no-data = { $metric }: нет данных
anomaly-several = { $count ->
    [one] { $count } метрика: { $list }
    [few] { $count } метрики: { $list }
    [many] { $count } метрик: { $list }
   *[other] { $count } метрики: { $list }
}
anomaly-no-slice = ни один срез не выделяется
anomaly-value-at = { $value } за { $times }, ожидалось { $expected }
anomaly-nothing-at = Ни одного события за { $times }, ожидалось { $expected }
anomaly-no-data-at = Нет данных за { $times }, ожидалось { $expected }
anomaly-yesterday = (вчера { $value })
anomaly-at = за { $times }
anomaly-against = при ожидаемых { $expected }
anomaly-contribution-drop = { $slice } { $change } ({ $share } падения)
anomaly-contribution-rise = { $slice } { $change } ({ $share } роста)
anomaly-complete = полные, на { $time }
anomaly-last-event = последнее событие — { $time }
anomaly-complete-unknown = полные
anomaly-incomplete = неполные: опоздавшие события могут изменить значение
anomaly-moved-with = вместе с ней отклонились: { $list }
anomaly-only-warning = Только предупреждение: { $list }
anomaly-next-drop = найдите, что изменилось около { $time }: релиз, авария, потеря событий
anomaly-next-drop-in-slice = найдите, что изменилось около { $time } ({ $slice }): релиз, авария, потеря событий
anomaly-next-rise = найдите, что изменилось около { $time }: реклама, боты, задвоение событий
anomaly-next-rise-in-slice = найдите, что изменилось около { $time } ({ $slice }): реклама, боты, задвоение событий
anomaly-next-nothing = проверьте, приходят ли события вообще и шлёт ли их ещё продукт
anomaly-how = Как это оценено
anomaly-detector = детектор { $detector }
anomaly-expected = ожидалось { $expected }
anomaly-band = коридор { $band }
anomaly-score = отклонение { $score }
anomaly-column-metric = метрика
anomaly-column-value = знач.
anomaly-column-expected = ожид.
anomaly-column-change = откл.
anomaly-still-open = { $subject }, длится уже { $duration }
anomaly-open-since = длится с { $moment }
anomaly-resolved-subject = { $metric } снова в норме
anomaly-resolved-several = { $count ->
    [one] { $count } метрика снова в норме: { $list }
    [few] { $count } метрики снова в норме: { $list }
    [many] { $count } метрик снова в норме: { $list }
   *[other] { $count } метрики снова в норме: { $list }
}
anomaly-resolved-open-for = длилось { $duration } ({ $times })
anomaly-resolved-worst = худшее { $change } ({ $moment })
anomaly-resolved-now = сейчас { $value }
anomaly-resolved-still-open = Ещё не в норме: { $list }
anomaly-chart-title = { $findings } в{ "\u00A0" }{ $time }
anomaly-chart-resolved = { $metrics }: снова в норме
anomaly-chart-subtitle = Каждые 15 минут · { $date }
anomaly-chart-actual = факт
anomaly-chart-band = ожидалось
anomaly-chart-day = сутки назад
anomaly-chart-open = инцидент
chart-no-data = нет данных

# --- сама платформа -------------------------------------------------------------------------------------------------
failed-run-subject = задание { $job }
failed-run-killed = Процесс запуска оборвался без ошибки: его убили или не хватило памяти.
failed-run-step = { $count ->
    [1] шаг
   *[other] шаги
}
failed-run-partition = партиция
failed-run-attempt = попытка { $attempt } из { $attempts }
failed-run-impact = { $count ->
    [one] не обновлён { $count } ассет:
    [few] не обновлены { $count } ассета:
    [many] не обновлены { $count } ассетов:
   *[other] не обновлены { $count } ассета:
}
failed-run-repeats = { $count ->
    [one] Та же причина повторилась ещё { $count } раз с прошлого сообщения.
    [few] Та же причина повторилась ещё { $count } раза с прошлого сообщения.
    [many] Та же причина повторилась ещё { $count } раз с прошлого сообщения.
   *[other] Та же причина повторилась ещё { $count } раза с прошлого сообщения.
}
failed-run-next = устраните причину, затем «Re-execute from failure» в запуске
failed-run-killed-next = проверьте, не перезагрузилась ли машина и хватило ли памяти, затем «Re-execute from failure» в запуске
failed-run-never-started = Запуск так и не начался: сбой произошёл до старта его процесса.
failed-run-never-started-next = выполните «metrics-platform doctor»: он покажет второй демон Dagster и ожидающие запуски; затем «Re-execute» в запуске
automation-schedule = расписание
automation-sensor = сенсор
automation-code-location = код
failed-tick = Тик завершился ошибкой, поэтому ничего не запускается.
failed-tick-next = устраните причину; Dagster повторит попытку сам (раздел Automation)
failed-location = Dagster не может к нему обратиться: расписания и сенсоры не работают.
failed-location-next = откройте Deployment в Dagster и журнал сервера кода, затем запустите его снова
failed-runs-subject = ещё { $count } { $count ->
    [one] сбой
    [few] сбоя
    [many] сбоев
   *[other] сбоя
}
failed-runs-since = С { $moment }; после первых сбоев о них сообщается вместе.
failed-runs-next = откройте в Dagster список запусков с фильтром «Failure»: сначала то, что у них общего
recovered-job = задание { $job } снова работает
recovered-automation = { $automation } снова работает
recovered-check = проверка { $check } таблицы { $asset } снова проходит
recovered-failed = { $count ->
    [1] Один сбой, в { $since }; в порядке с { $moment }.
   *[other] Сбоев: { $count }, { $since } – { $until }; в порядке с { $moment }.
}
failed-check-repeats = { $count ->
    [one] С последнего сообщения она не прошла ещё { $count } раз.
    [few] С последнего сообщения она не прошла ещё { $count } раза.
    [many] С последнего сообщения она не прошла ещё { $count } раз.
   *[other] С последнего сообщения она не прошла ещё { $count } раза.
}
failed-check-subject = проверка { $check } для { $asset }
failed-check-blocking = зависимые таблицы не пересчитаны и остались прежними
failed-check-next = найдите причину в запуске и пересчитайте день: его строки заменятся, а не удвоятся
stale-subject = Данные устарели: { $table }
stale-never-subject = Нет данных: { $table }
stale-still = уже { $duration }
stale-last = Последнее событие { $moment }, { $ago } назад (порог { $limit })
stale-never = Нет ни одного события (порог { $limit })
stale-impact = метрики этого источника нельзя оценить, в отчётах не будет последних часов
stale-next = проверьте, кто пишет { $table }: платформа её только читает
fresh-subject = Данные снова свежие: { $table }
fresh-last = Последнее событие { $moment } · не обновлялись { $duration }
volume-subject = Объём { $change }: { $table }
volume-rows = { $rows } { $count ->
    [one] строка
    [few] строки
    [many] строк
   *[other] строки
} за { $period }, ожидалось { $expected } (обычно в этот день недели { $usual })
volume-next = проверьте, не потеряны ли события и не записаны ли дважды, затем пересчитайте дни
success-subject = задание { $job }
success-took = заняло { $duration }
success-warnings = { $count ->
    [0] без предупреждений
    [one] { $count } предупреждение
    [few] { $count } предупреждения
    [many] { $count } предупреждений
   *[other] { $count } предупреждения
}
not-delivered-subject = Отчёт за { $date } не доставлен
not-delivered-due = Срок доставки: { $moment }.
not-delivered-next = посмотрите в Dagster последние запуски daily_report и notify
test-subject = { $name } может писать сюда
test-sent = Отправлено по запросу { $moment } { $zone }
test-chart = Картинка тоже доходит
digest-subject = { $count } { $count ->
    [one] сообщение
    [few] сообщения
    [many] сообщений
   *[other] сообщения
}
digest-critical = критичных { $count }
digest-failed = сбоев { $count }
digest-warning = предупреждений { $count }
digest-resolved = решено или готово { $count }
digest-info = прочих { $count }
digest-why = Они пришли разом, поэтому это одно сообщение.
digest-next = откройте их целиком в Dagster: партиции ассета { $asset }

# --- Slack ----------------------------------------------------------------------------------------------------------
# Вебхук не переносит картинок: где они тогда.
slack-pictures-in-telegram = 🖼 { $count ->
    [one] { $count } картинка – в Telegram и в запуске notify в Dagster
    [few] { $count } картинки – в Telegram и в запуске notify в Dagster
    [many] { $count } картинок – в Telegram и в запуске notify в Dagster
   *[other] { $count } картинки – в Telegram и в запуске notify в Dagster
}
slack-pictures-in-dagster = 🖼 { $count ->
    [one] { $count } картинка – в запуске notify в Dagster
    [few] { $count } картинки – в запуске notify в Dagster
    [many] { $count } картинок – в запуске notify в Dagster
   *[other] { $count } картинки – в запуске notify в Dagster
}
